/* SPDX-License-Identifier: MIT */
/*
 * list ─> want (contents that are neither in the tree nor uploaded) ─> by path: wait for the content,
 * one operation, settle. Folders come before what is in them; deletions last, from below.
 */
#include "sync/master/recovery/recover.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/master/commit/committer.h"
#include "sync/master/db/lost_rows.h"
#include "sync/master/db/readers.h"
#include "sync/master/db/registry.h"
#include "sync/master/db/tree.h"
#include "sync/master/db/wanted.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/upload.h"
#include "sync/master/ops/batch.h"
#include "sync/master/publish/delete_guard.h"
#include "sync/proto/json.h"
#include "sync/proto/op.h"
#include "sync/proto/wire.h"

#define PATIENCE_MS 45000 /* without a byte that comes */
#define LOOK_MS     20
#define AHEAD       200 /* contents that are asked for at once */

struct change {
    struct entry e; /* as in lost_rows.h */
    struct strlist mirrors;
    char maker[MIRROR_NAME_CAP]; /* the mirror that made it; "": another one, or somebody here */
    bool here;                   /* one of them has the content */
    bool held;                   /* from the master's own tree */
    bool outside;                /* of each one's write scope */
    bool wanted;
};

struct recovery {
    struct master *m;
    struct db *db;
    const struct recover_options *o;
    struct change *v;
    size_t n, cap;
    struct mirror *all; /* registered */
    size_t n_all;
    size_t next, n_wanted; /* the first change whose content was not asked for yet */
    int64_t n_ops, heard;  /* heard: mono ms when a content came last */
    char outbox[17];
    bool (*tell)(void *arg, json_t *line);
    void *arg;
};

/* --- the list --- */

static bool same(const struct entry *a, const struct entry *b)
{
    return a->type == b->type && strcmp(a->path, b->path) == 0 && hash_eq(&a->hash, &b->hash) &&
           strcmp(a->target ? a->target : "", b->target ? b->target : "") == 0;
}

static void copy_entry(struct entry *to, const struct entry *from)
{
    *to = *from;
    to->path = xstrdup(from->path);
    to->target = from->target ? xstrdup(from->target) : NULL;
    to->moved_from = NULL;
    to->has_data = false;
    memset(&to->data, 0, sizeof(to->data));
}

static struct change *add(struct recovery *x, const struct entry *e)
{
    struct change *c;

    if (x->n > 0 && same(&x->v[x->n - 1].e, e))
        return &x->v[x->n - 1];
    if (x->n == x->cap) {
        x->cap = x->cap * 2 + 64;
        x->v = xrealloc(x->v, x->cap * sizeof(*x->v));
    }
    c = &x->v[x->n++];
    memset(c, 0, sizeof(*c));
    copy_entry(&c->e, e);
    c->outside = true;
    return c;
}

static const struct mirror *find_mirror(const struct recovery *x, const char *name)
{
    for (size_t i = 0; i < x->n_all; i++)
        if (strcmp(x->all[i].name, name) == 0)
            return &x->all[i];
    return NULL;
}

static void add_row(void *arg, struct lost_row *row)
{
    struct recovery *x = arg;
    struct change *c = add(x, &row->e);
    const struct mirror *who = find_mirror(x, row->mirror);

    strlist_add(&c->mirrors, row->mirror);
    c->here |= row->here;
    if (row->own)
        snprintf(c->maker, sizeof(c->maker), "%s", row->mirror);
    if (who && scope_writes(&who->scope, row->e.path))
        c->outside = false;
}

static void add_held_row(void *arg, struct row *row)
{
    struct change *c;

    if (row->e.type == ENTRY_GONE)
        return;
    c = add(arg, &row->e);
    c->held = true;
    c->outside = false;
}

/* In the committer's thread. */
static int list_held(struct master *m, void *arg)
{
    return delete_guard_each_held(m->delete_guard, add_held_row, arg);
}

static void add_mirror(void *arg, const struct mirror *who)
{
    struct recovery *x = arg;
    struct mirror *to;

    x->all = xrealloc(x->all, (x->n_all + 1) * sizeof(*x->all));
    to = &x->all[x->n_all++];
    *to = *who;
    to->scope = (struct scope){{NULL, 0}, {NULL, 0}, {NULL, 0}};
    for (size_t i = 0; i < who->scope.write.n; i++)
        strlist_add(&to->scope.write, who->scope.write.v[i]);
    for (size_t i = 0; i < who->scope.read.n; i++)
        strlist_add(&to->scope.read, who->scope.read.v[i]);
    for (size_t i = 0; i < who->scope.deny.n; i++)
        strlist_add(&to->scope.deny, who->scope.deny.v[i]);
}

/* Folders before what is in them, deletions last and from below. */
static int by_turn(const void *a, const void *b)
{
    const struct change *x = a, *y = b;
    bool gone = x->e.type == ENTRY_GONE;

    if (gone != (y->e.type == ENTRY_GONE))
        return gone ? 1 : -1;
    return gone ? strcmp(y->e.path, x->e.path) : strcmp(x->e.path, y->e.path);
}

static int make_list(struct recovery *x, struct err *e)
{
    int r = registry_each(x->db, add_mirror, x);

    if (r >= 0)
        r = lost_rows_each(x->db, x->o->from, add_row, x);
    if (r >= 0 && !x->o->from && !x->o->discard)
        r = committer_call(x->m->committer, list_held, x);
    if (r < 0)
        return err_sys(e, -r, "cannot list what was lost");
    if (x->n > 0)
        qsort(x->v, x->n, sizeof(*x->v), by_turn);
    return 0;
}

/* --- one change --- */

static const char *kind_of(const struct entry *e)
{
    return e->type == ENTRY_FILE   ? "file"
           : e->type == ENTRY_DIR  ? "folder"
           : e->type == ENTRY_LINK ? "link"
                                   : "deleted";
}

static bool say(struct recovery *x, const struct change *c, const char *result, const char *why)
{
    json_t *o = json_object(), *names = json_array();
    char *path = path_encoded(c->e.path);

    for (size_t i = 0; i < c->mirrors.n; i++)
        json_array_append_new(names, json_string(c->mirrors.v[i]));
    json_object_set_new(o, "path", json_string(path));
    json_object_set_new(o, "kind", json_string(kind_of(&c->e)));
    if (c->e.target)
        json_set_path(o, "target", c->e.target);
    json_object_set_new(o, "size", json_integer(c->e.type == ENTRY_FILE ? c->e.size : 0));
    json_object_set_new(o, "mtime", json_integer(c->e.mtime));
    json_object_set_new(o, "mirrors", names);
    if (*c->maker)
        json_object_set_new(o, "maker", json_string(c->maker));
    json_object_set_new(o, "here", json_boolean(c->here || c->held || c->e.type != ENTRY_FILE));
    json_object_set_new(o, "held", json_boolean(c->held));
    json_object_set_new(o, "outside", json_boolean(c->outside));
    json_object_set_new(o, "result", json_string(result));
    if (why && *why)
        json_object_set_new(o, "why", json_string(why));
    free(path);
    return x->tell(x->arg, o);
}

static int settle_one(struct master *m, void *arg)
{
    const struct change *c = arg;

    return lost_rows_settle(m->tree->db, &c->e);
}

static int settle(struct recovery *x, struct change *c)
{
    return c->held ? 0 : committer_call(x->m->committer, settle_one, c);
}

static bool any_path(void *arg, const char *path)
{
    (void)arg;
    (void)path;
    return true;
}

/* The mirror that has uploaded it, or "": it is in the tree; NULL: not yet, *bytes of it are here. */
static const char *who_brought(struct recovery *x, const struct entry *e, int64_t *bytes)
{
    struct row row = {0};
    int64_t have;
    bool complete;
    int r;

    *bytes = 0;
    for (size_t i = 0; i < x->n_all; i++) {
        if (upload_have(x->m->folder->uploads, x->all[i].name, &e->hash, &have, &complete) < 0)
            continue;
        if (complete)
            return x->all[i].name;
        *bytes += have;
    }
    r = e->size == 0 ? 1 : tree_find_hash(x->db, &e->hash, any_path, NULL, &row);
    row_release(&row);
    return r == 1 ? "" : NULL;
}

/* Mirrors send ahead what the next changes need. */
static void want(struct recovery *x)
{
    for (; x->next < x->n && x->n_wanted < AHEAD; x->next++) {
        struct change *c = &x->v[x->next];
        int64_t bytes;

        if (c->e.type != ENTRY_FILE || (!c->here && !c->held) ||
            (!c->held && who_brought(x, &c->e, &bytes)))
            continue;
        c->wanted = true;
        x->n_wanted++;
        wanted_add(x->m->wanted, &c->e.hash, c->held);
    }
}

static void want_no_more(struct recovery *x, struct change *c)
{
    if (!c->wanted)
        return;
    wanted_remove(x->m->wanted, &c->e.hash);
    c->wanted = false;
    x->n_wanted--;
}

/* Waits for the content. NULL: it does not come. */
static const char *wait_content(struct recovery *x, const struct change *c)
{
    const struct timespec pause = {0, LOOK_MS * 1000000};
    int64_t bytes, before = 0;
    const char *who;

    while (!(who = who_brought(x, &c->e, &bytes)) || (c->held && !*who && c->e.size > 0)) {
        if (bytes > before)
            x->heard = clock_mono_ms();
        before = bytes;
        if (!c->wanted || x->m->stopping || wanted_in_vain(x->m->wanted, &c->e.hash) ||
            clock_mono_ms() - x->heard > PATIENCE_MS)
            return NULL;
        nanosleep(&pause, NULL);
    }
    x->heard = clock_mono_ms();
    return who;
}

static void make_op(struct recovery *x, const struct change *c, const struct row *now,
                    struct op *op)
{
    const struct entry *e = &c->e;

    memset(op, 0, sizeof(*op));
    op->n = ++x->n_ops;
    op->path = xstrdup(e->path);
    op->mode = -1;
    op->pre.kind = PRE_ABSENT;
    switch (e->type) {
    case ENTRY_FILE:
        op->kind = OP_PUT;
        op->hash = e->hash;
        op->size = e->size;
        op->has_data = e->size == 0;
        break;
    case ENTRY_DIR:
        op->kind = OP_MKDIR;
        op->pre.kind = PRE_NONE;
        break;
    case ENTRY_LINK:
        op->kind = OP_SYMLINK;
        op->target = xstrdup(e->target);
        break;
    case ENTRY_GONE:
        op->kind = now->e.type == ENTRY_DIR ? OP_RMDIR : OP_UNLINK;
        op->pre.kind = now->e.type == ENTRY_DIR    ? PRE_NONE
                       : now->e.type == ENTRY_LINK ? PRE_LINK
                                                   : PRE_HASH;
        op->pre.hash = e->hash;
        return;
    }
    op->has_mtime = true;
    op->mtime = e->mtime;
    if (e->type != ENTRY_LINK)
        op->mode = e->mode;
}

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool over;
    struct master *m;
};

static void batch_done(void *arg, struct batch *b)
{
    struct waiting *w = arg;

    (void)b;
    mutex_lock(&w->lock);
    w->over = true;
    cond_broadcast(&w->done);
    mutex_unlock(&w->lock);
}

static void batch_again(void *arg, struct batch *b)
{
    committer_ops(((struct waiting *)arg)->m->committer, b);
}

/* Runs the operation as one of the mirror `name` that may write everywhere. New reference: the answer;
 * NULL: the database failed. */
static json_t *run_op(struct recovery *x, const char *name, struct op *op)
{
    json_t *o = json_pack("{s:s,s:[o]}", "outbox", x->outbox, "ops", op_to_json(op)), *answer;
    char *text = json_dumps(o, JSON_COMPACT);
    struct waiting w = {.m = x->m};
    struct mirror who = {.scopegen = 0};
    struct batch *b = NULL;
    struct err e;

    json_decref(o);
    snprintf(who.name, sizeof(who.name), "%s", name);
    strlist_add(&who.scope.write, "");
    if (batch_parse(text, strlen(text), &who, &b, &e) < 0) {
        mirror_release(&who);
        free(text);
        return json_pack("{s:s,s:s}", "result", "refused", "error", e.text);
    }
    free(text);
    mutex_init(&w.lock);
    cond_init(&w.done);
    b->done = batch_done;
    b->again = batch_again;
    b->arg = &w;
    committer_ops(x->m->committer, b);
    mutex_lock(&w.lock);
    while (!w.over)
        cond_wait(&w.done, &w.lock);
    mutex_unlock(&w.lock);
    answer = b->error == 0 ? json_incref(json_array_get(b->answers, 0)) : NULL;
    batch_free(b);
    cond_destroy(&w.done);
    mutex_destroy(&w.lock);
    return answer;
}

/* What the answer says. */
static const char *result_of(const struct change *c, json_t *answer)
{
    const char *result = json_string_value(json_object_get(answer, "result"));

    if (!result || strcmp(result, "refused") == 0 || strcmp(result, "later") == 0)
        return "left";
    if (strcmp(result, "conflict") == 0)
        return "conflict";
    if (c->e.type == ENTRY_GONE)
        return strcmp(result, "done") == 0 ? "deleted" : "left";
    return strcmp(result, "done") == 0 ? "back" : "left";
}

/* 1: there already; 0; -errno. *now: the present row. */
static int look(struct recovery *x, const struct change *c, struct row *now)
{
    int r = tree_get(x->db, c->e.path, now);

    if (r < 0 || c->held)
        return r < 0 ? r : 0;
    if (c->e.type == ENTRY_GONE)
        return now->e.type == ENTRY_GONE;
    return now->e.type == c->e.type &&
           (c->e.type != ENTRY_FILE || hash_eq(&now->e.hash, &c->e.hash)) &&
           (c->e.type != ENTRY_LINK || strcmp(now->e.target, c->e.target) == 0);
}

/* 1 go on, 0 the listener has gone, -errno. */
static int bring(struct recovery *x, struct change *c)
{
    const char *who = c->mirrors.n > 0 ? c->mirrors.v[0]
                      : x->n_all > 0   ? x->all[0].name
                                       : "recover";
    const char *result = "left", *why = NULL, *brought;
    struct row now = {0};
    json_t *answer = NULL;
    struct op op;
    int r = look(x, c, &now);

    if (r == 1)
        result = "there";
    if (r == 0 && c->e.type == ENTRY_GONE && !x->o->deletions)
        why = "deletions are applied with --deletions";
    if (r == 0 && !why && c->e.type == ENTRY_FILE) {
        brought = wait_content(x, c);
        if (!brought)
            why = c->here || c->held ? "no mirror that has the content has sent it"
                                     : "no mirror has the content in its cache";
        else if (*brought)
            who = brought;
    }
    if (r == 0 && !why) {
        make_op(x, c, &now, &op);
        answer = run_op(x, who, &op);
        op_release(&op);
        result = result_of(c, answer);
        why = json_string_value(json_object_get(answer, "error"));
    }
    if (r >= 0 && strcmp(result, "left") != 0)
        r = settle(x, c);
    if (r >= 0)
        r = say(x, c, result, why);
    json_decref(answer);
    row_release(&now);
    return r;
}

static int discard(struct recovery *x, struct change *c)
{
    int r = settle(x, c);

    return r < 0 ? r : say(x, c, "discarded", NULL);
}

static int run(struct recovery *x, struct err *e)
{
    int r = make_list(x, e);

    if (r < 0)
        return r;
    x->heard = clock_mono_ms();
    r = 1;
    for (size_t i = 0; i < x->n && r == 1; i++) {
        struct change *c = &x->v[i];

        if (!x->o->dry_run && !x->o->discard)
            want(x);
        r = x->o->dry_run ? say(x, c, "listed", NULL) : x->o->discard ? discard(x, c) : bring(x, c);
        want_no_more(x, c);
    }
    for (size_t i = 0; i < x->n; i++)
        want_no_more(x, &x->v[i]);
    return r < 0 ? err_sys(e, -r, "cannot bring back what was lost") : 0;
}

int recover(struct master *m, const struct recover_options *o,
            bool (*tell)(void *arg, json_t *line), void *arg, struct err *e)
{
    struct recovery x = {.m = m, .o = o, .tell = tell, .arg = arg};
    struct buf hex = BUF_INIT;
    uint8_t raw[8];
    int r;

    if (atomic_exchange(&m->recovering, true))
        return err_set(e, EBUSY, "another 'eefs-master recover' is running");
    file_random(raw, sizeof(raw));
    hex_encode(&hex, raw, sizeof(raw));
    snprintf(x.outbox, sizeof(x.outbox), "%s", hex.data);
    buf_release(&hex);
    x.db = readers_get(m->readers);
    r = x.db ? run(&x, e) : err_set(e, EIO, "cannot read '%s'", m->db_path);
    readers_put(m->readers, x.db);
    for (size_t i = 0; i < x.n; i++) {
        entry_release(&x.v[i].e);
        strlist_release(&x.v[i].mirrors);
    }
    for (size_t i = 0; i < x.n_all; i++)
        mirror_release(&x.all[i]);
    free(x.v);
    free(x.all);
    atomic_store(&m->recovering, false);
    return r;
}
