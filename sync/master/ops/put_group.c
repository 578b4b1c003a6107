/* SPDX-License-Identifier: MIT */
#include "sync/master/ops/put_group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/path.h"
#include "sync/common/syncer.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/conflict.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/install.h"
#include "sync/master/folder/kept.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/volume.h"
#include "sync/master/ops/apply.h"
#include "sync/master/ops/context.h"
#include "sync/master/ops/current.h"
#include "sync/master/ops/intent_log.h"

struct member {
    const struct op *op;
    struct hash digest;
    struct row was; /* what it replaces */
    char tmp[STAGING_NAME_CAP];
    int fd, dir; /* the staged file; the folder that it goes to */
    bool noted;
};

struct put_group {
    struct master *m;
    const struct mirror *who;
    const char *outbox;
    struct member v[PUT_GROUP_MAX];
    size_t n, landed;
};

struct put_group *put_group_new(struct master *m, const struct mirror *who, const char *outbox)
{
    struct put_group *g = xcalloc(1, sizeof(*g));

    g->m = m;
    g->who = who;
    g->outbox = outbox;
    return g;
}

static void member_release(struct member *x)
{
    if (x->fd >= 0)
        close(x->fd);
    if (x->dir >= 0)
        close(x->dir);
    row_release(&x->was);
}

void put_group_free(struct put_group *g, bool withdrawn)
{
    if (g->landed < g->n && withdrawn)
        crash_point("master.intent.withdrawn");
    for (size_t i = 0; i < g->n; i++) {
        if (i >= g->landed && withdrawn)
            staging_discard(g->m->folder, g->v[i].tmp);
        member_release(&g->v[i]);
    }
    free(g);
}

size_t put_group_size(const struct put_group *g)
{
    return g->n;
}

static struct apply apply_of(const struct put_group *g, const struct member *x, struct op_answer *a)
{
    return (struct apply){.m = g->m,
                          .who = g->who,
                          .outbox = g->outbox,
                          .op = x->op,
                          .digest = &x->digest,
                          .a = a,
                          .noted = x->noted};
}

static bool was_made(struct apply *j)
{
    struct intent made;
    int r = intent_log_made(j, &made);

    intent_release(&made);
    return r != 0;
}

/* The precondition is met by what is there now, and there is something to do. */
static bool is_plain(struct apply *j, struct row *row)
{
    const struct op *op = j->op;
    struct folder *f = j->m->folder;
    struct hash got;

    if (!op->has_data || was_made(j) || volume_enter(f, op->path) < 0 ||
        root_staging_fd(f->root) != root_own_staging_fd(f->root) ||
        current_row(j, op->path, row) < 0)
        return false;
    if (!pre_holds(&op->pre, row) || (row->e.type != ENTRY_GONE && row->e.type != ENTRY_FILE) ||
        (row->e.type == ENTRY_FILE && hash_eq(&row->e.hash, &op->hash)))
        return false;
    if (f->conflicts && conflict_is_blocked(f, op->path))
        return false;
    hash_bytes(op->data.data ? op->data.data : "", op->data.len, &got);
    return hash_eq(&got, &op->hash);
}

/* Content, attributes and the note; false: it cannot be done so. */
static bool stage(struct apply *j, struct member *x)
{
    const struct op *op = j->op;
    struct folder *f = j->m->folder;
    const struct install_attr a = {(mode_t)(op->mode & INSTALL_FILE_MODE), (mode_t)op->umask,
                                   op->mtime, op->path};
    char tmp[STAGING_NAME_CAP];

    staging_name(tmp);
    if (install_parents(f, op->path) < 0 || staging_write(f, tmp, op->data.data, op->data.len) < 0)
        return false;
    memcpy(x->tmp, tmp, sizeof(x->tmp));
    x->fd = openat(root_staging_fd(f->root), tmp, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    x->dir = staging_open_parent(f, op->path);
    return x->fd >= 0 && x->dir >= 0 &&
           install_prepare(f, x->fd, x->dir, path_base(op->path), &a) == 0 &&
           intent_log_write(j, tmp, op->path, RESULT_DONE) == 0;
}

int put_group_add(struct put_group *g, const struct op *op, const struct hash *digest)
{
    struct member *x = &g->v[g->n];
    struct op_answer a = {.n = op->n};
    struct apply j;
    bool added = false;

    if (op->kind != OP_PUT || g->n == PUT_GROUP_MAX)
        return 0;
    *x = (struct member){.op = op, .digest = *digest, .fd = -1, .dir = -1};
    j = apply_of(g, x, &a);
    if (apply_allows(&j) && is_plain(&j, &x->was))
        added = stage(&j, x);
    volume_leave(g->m->folder);
    op_answer_release(&a);
    x->noted = j.noted;
    if (added) {
        g->n++;
        return 1;
    }
    if (x->noted && j.db_error == 0)
        intent_log_forget(&j);
    staging_discard(g->m->folder, x->tmp);
    member_release(x);
    return j.db_error;
}

static int sync_contents(struct put_group *g)
{
    int fds[PUT_GROUP_MAX];

    for (size_t i = 0; i < g->n; i++)
        fds[i] = g->v[i].fd;
    return syncer_run(g->m->syncer, fds, g->n);
}

static bool same_folder(const struct op *a, const struct op *b)
{
    size_t len = path_parent_len(a->path);

    return len == path_parent_len(b->path) && memcmp(a->path, b->path, len) == 0;
}

/* Each folder once. */
static int sync_folders(struct put_group *g)
{
    int fds[PUT_GROUP_MAX];
    size_t n = 0;

    for (size_t i = 0; i < g->landed; i++) {
        size_t k = 0;

        while (k < i && !same_folder(g->v[k].op, g->v[i].op))
            k++;
        if (k == i)
            fds[n++] = g->v[i].dir;
    }
    return syncer_run(g->m->syncer, fds, n);
}

int put_group_land(struct put_group *g, size_t *ret)
{
    struct folder *f = g->m->folder;
    int r = 0;

    *ret = 0;
    if (sync_contents(g) < 0) /* each by itself finds which */
        return 0;
    r = tree_step(g->m->tree);
    crash_point("master.op.noted");
    for (; r == 0 && g->landed < g->n; g->landed++) {
        struct member *x = &g->v[g->landed];

        kept_staged(f->kept, x->tmp, x->op->path, &x->op->hash, x->op->size);
        if (install_place(f, x->tmp, x->dir, x->op->path, &x->was, &x->op->hash) < 0)
            break;
    }
    if (r == 0 && sync_folders(g) < 0) /* who asks again finds them, and syncs */
        g->landed = 0;
    *ret = r < 0 ? 0 : g->landed;
    return r;
}

int put_group_publish(struct put_group *g, size_t i, struct op_answer *a)
{
    struct member *x = &g->v[i];
    struct apply j = apply_of(g, x, a);
    struct stat st;
    int r;

    if (fstat(x->fd, &st) < 0)
        return -errno;
    a->result = RESULT_DONE;
    r = apply_publish(&j, x->op->path, &st, &x->op->hash, NULL, clock_wall_ns(), NULL);
    if (r == 0)
        r = apply_tell(&j, x->op->path);
    if (r == 0)
        crash_point("master.put.published");
    return r;
}

int put_group_withdraw(struct put_group *g)
{
    int r = 0;

    for (size_t i = g->landed; i < g->n && r == 0; i++) {
        struct apply j = apply_of(g, &g->v[i], NULL);

        r = intent_log_forget(&j);
    }
    return r;
}
