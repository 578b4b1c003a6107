/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/carry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/worker.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/kept.h"
#include "sync/master/folder/upload.h"
#include "sync/master/folder/volume.h"

struct carrier {
    struct folder *folder;
    struct worker worker; /* its lock guards the rest */
    struct carry *first, **last;
};

/* --- the committer's side --- */

static void forget(struct carry *c)
{
    free(c->from);
    free(c->to);
    memset(c, 0, sizeof(*c));
}

void carry_drop(struct folder *f, struct carry *c)
{
    if (*c->tmp && volume_enter(f, c->to) == 0)
        staging_discard(f, c->tmp);
    volume_leave(f);
    forget(c);
}

int carry_take(struct folder *f, struct carry *c, int64_t n, const struct hash *hash, char *tmp)
{
    if (c->n != n || c->wanted || !*c->tmp || !hash_eq(&c->hash, hash) ||
        faccessat(root_staging_fd(f->root), c->tmp, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    memcpy(tmp, c->tmp, STAGING_NAME_CAP);
    *c->tmp = '\0';
    return 1;
}

static int want(struct folder *f, struct carry *c, int64_t n, const struct hash *hash, int64_t size,
                const char *from, const char *to)
{
    if (c->n == n)
        return c->result < 0 ? c->result : -EAGAIN;
    carry_drop(f, c);
    c->wanted = true;
    c->n = n;
    c->hash = *hash;
    c->size = size;
    c->from = from ? xstrdup(from) : NULL;
    c->to = to ? xstrdup(to) : NULL;
    return -EINPROGRESS;
}

int carry_copy(struct folder *f, struct carry *c, int64_t n, const struct hash *hash, int64_t size,
               const char *from, const char *to, char *tmp)
{
    if (from && size <= CARRY_AT_ONCE)
        return staging_copy(f, tmp, root_fd(f->root), from, hash);
    return carry_take(f, c, n, hash, tmp) ? 0 : want(f, c, n, hash, size, from, to);
}

int carry_keep(struct folder *f, struct carry *c, int64_t n, const struct hash *hash, int64_t size)
{
    if (c->n == n)
        return 0;
    c->keep = want(f, c, n, hash, size, NULL, NULL) == -EINPROGRESS;
    return -EINPROGRESS;
}

/* --- the thread --- */

/* So that the committer has little to wait for. */
static int sync_staged(const struct folder *f, const char *tmp)
{
    int fd = openat(root_staging_fd(f->root), tmp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0)
        close(fd);
    return r;
}

static void keep_now(struct folder *f, struct carry *c)
{
    char upload[UPLOAD_NAME_CAP], tmp[STAGING_NAME_CAP];

    upload_name(c->mirror, &c->hash, upload);
    staging_name(tmp);
    if (staging_copy(f, tmp, root_own_staging_fd(f->root), upload, &c->hash) == 0)
        kept_adopt(f->kept, tmp, &c->hash, c->size);
    c->result = 0;
}

/* An upload that was copied to another filesystem is of no more use where it is. */
static void keep_upload(struct folder *f, const struct carry *c)
{
    char tmp[STAGING_NAME_CAP];

    staging_name(tmp);
    if (kept_wants(f->kept, c->to, c->size) && !kept_has(f, &c->hash) &&
        upload_take(f->uploads, c->mirror, &c->hash, tmp) == 0)
        kept_adopt(f->kept, tmp, &c->hash, c->size);
}

static void carry_now(struct folder *f, struct carry *c)
{
    char upload[UPLOAD_NAME_CAP];
    int r = volume_enter(f, c->to);

    upload_name(c->mirror, &c->hash, upload);
    staging_name(c->tmp);
    if (r == 0)
        r = c->from ? staging_copy(f, c->tmp, root_fd(f->root), c->from, &c->hash)
                    : staging_copy(f, c->tmp, root_own_staging_fd(f->root), upload, &c->hash);
    if (r == 0) {
        crash_point("master.carry.copied");
        r = sync_staged(f, c->tmp);
        if (r < 0)
            staging_discard(f, c->tmp);
    }
    volume_leave(f);
    if (r < 0)
        *c->tmp = '\0';
    else if (!c->from && c->to)
        keep_upload(f, c);
    c->result = r;
}

static void end(struct carry *c)
{
    c->wanted = false;
    c->done(c->arg);
}

static void *carrier_run(void *arg)
{
    struct carrier *c = arg;
    struct carry *one;

    worker_lock(&c->worker);
    while (!worker_stopping_locked(&c->worker)) {
        one = c->first;
        if (!one) {
            worker_wait_locked(&c->worker, WORKER_NEVER);
            continue;
        }
        c->first = one->next;
        if (!c->first)
            c->last = &c->first;
        worker_unlock(&c->worker);
        (one->keep ? keep_now : carry_now)(c->folder, one);
        end(one);
        worker_lock(&c->worker);
    }
    worker_unlock(&c->worker);
    return NULL;
}

void carrier_add(struct carrier *c, struct carry *carry, const char *mirror,
                 void (*done)(void *arg), void *arg)
{
    bool stopping;

    carry->next = NULL;
    carry->mirror = mirror;
    carry->done = done;
    carry->arg = arg;
    carry->result = -ESHUTDOWN;
    worker_lock(&c->worker);
    stopping = worker_stopping_locked(&c->worker);
    if (!stopping) {
        *c->last = carry;
        c->last = &carry->next;
        worker_wake_locked(&c->worker);
    }
    worker_unlock(&c->worker);
    if (stopping)
        end(carry);
}

int carrier_start(struct folder *f, const char *name, struct carrier **ret, struct err *e)
{
    struct carrier *c = xcalloc(1, sizeof(*c));
    int r;

    c->folder = f;
    c->last = &c->first;
    worker_init(&c->worker);
    r = worker_start(&c->worker, name, carrier_run, c);
    if (r < 0) {
        worker_release(&c->worker);
        free(c);
        return err_sys(e, -r, "cannot start the carrier of contents");
    }
    *ret = c;
    return 0;
}

void carrier_stop(struct carrier *c)
{
    struct carry *next;

    if (!c)
        return;
    worker_stop(&c->worker);
    for (struct carry *one = c->first; one; one = next) {
        next = one->next;
        end(one);
    }
    c->first = NULL;
}

void carrier_free(struct carrier *c)
{
    if (!c)
        return;
    worker_release(&c->worker);
    free(c);
}
