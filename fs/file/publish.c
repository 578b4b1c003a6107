/* SPDX-License-Identifier: MIT */
/*
 *   take       the draft is busy, its file and attributes are noted           node table's lock
 *   seal       hash; the staging file becomes an object of the store          no lock
 *   log        the operation goes into the outbox, under its name by now      tree lock
 *   give_back  the draft is clean, or dirty again when a step failed          node table's lock
 *
 * A draft that is busy already has the job queued; it runs when the other one is done.
 *
 * A step fails when the cache's disk is full or bad. The program that closed the file got the
 * error, but nobody closes it again: so review() queues another try and reports the fault, until
 * all such drafts are in the outbox. Should the mount end before, even by a kill, the content lies
 * in staging under its recorded path: the staging file itself, or a second name of the sealed
 * object (the mark).
 */
#include "fs/file/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/file/notify.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/log.h"
#include "sync/common/path.h"

#define RETRY_MIN_MS 500 /* until the first new try, doubled up to … */
#define RETRY_MAX_MS 8000

struct publish {
    struct fs *fs;
    struct node *node; /* holds a reference */
    struct deferred_reply *later;
    mirror_done_fn *done;
    void *arg;
};

/* The draft's attributes at the moment of sealing. */
struct version {
    struct file *file;
    char *stage;
    struct hash hash, replaces;
    struct hash held; /* by an earlier try that could not be logged */
    char *mark;       /* of this try, which could not be logged either */
    bool again;       /* an earlier try failed */
    off_t size;
    int64_t mtime, ctime;
    uint32_t mode;
};

static void complain(const char *path, int r)
{
    char *shown = path_encoded(path);

    log_error("cannot publish '%s': %s", shown, strerror(-r));
    free(shown);
}

/* The folders of `path` that are gone. */
static int make_folders(struct fs *fs, const char *path, int64_t *opid)
{
    struct node_attr a;
    int r = 0;

    for (const char *end = strchr(path, '/'); end && r == 0; end = strchr(end + 1, '/')) {
        char *folder = xstrndup(path, (size_t)(end - path));

        r = replica_lookup(fs->replica, folder, &a);
        if (r == -ENOENT)
            r = replica_mkdir(fs->replica, folder, 0755, &a, opid);
        free(folder);
    }
    return r;
}

/* The master removed the path, or a folder above it, while it was written here: the edit wins. */
static int publish_again(struct fs *fs, const char *path, const struct version *v, int64_t *opid)
{
    static const struct hash none;
    struct node_attr a;
    int r = make_folders(fs, path, opid);

    if (r == 0)
        r = replica_create(fs->replica, path, v->mode, &a);
    if (r < 0)
        return r;
    return replica_publish(fs->replica, path, &v->hash, v->size, v->mtime, v->ctime, v->mode, &none,
                           opid);
}

/* Logs the sealed version under the node's path; 0 with *opid 0 when it has none any more. */
static int log_version(struct fs *fs, struct node *n, const struct version *v, int64_t *opid)
{
    bool tried = false;
    char *path;
    int r = 0;

    fs_tree_read(fs);
    path = node_path(fs->nodes, n);
    if (path) {
        do {
            r = replica_publish(fs->replica, path, &v->hash, v->size, v->mtime, v->ctime, v->mode,
                                &v->replaces, opid);
            if (r == -ENOENT)
                r = publish_again(fs, path, v, opid);
        } while (fs_room(fs, r, &tried));
        if (r < 0 && !v->again)
            complain(path, r);
    }
    fs_tree_unlock(fs);
    free(path);
    return r;
}

/* Makes the draft's file an object, which is held until its operation is in the log. */
static int seal(struct fs *fs, struct node *n, struct version *v)
{
    struct stat st = {0};
    char *path;
    int r;

    fs_tree_read(fs);
    path = node_path(fs->nodes, n);
    fs_tree_unlock(fs);
    if (path && v->stage)
        store_note_path(v->file->fd, path);
    free(path);
    if (!v->stage && !hash_is_none(&v->held)) { /* what is sealed does not change */
        v->hash = v->held;
        r = fstat(v->file->fd, &st) < 0 ? -errno : 0;
        v->size = st.st_size;
    } else {
        r = hash_fd(v->file->fd, &v->hash, &v->size);
    }
    if (r < 0)
        return r;
    store_hold(fs->store, &v->hash);
    if (v->stage)
        r = store_publish(fs->store, v->stage, &v->hash, false);
    if (r < 0)
        store_let_go(fs->store, &v->hash);
    crash_point("fs.sealed");
    return r;
}

/* Takes the draft for publishing: 1, 0: nothing to publish (draft_flush() says when), -EAGAIN:
 * busy. */
static int take(struct fs *fs, struct node *n, struct version *v)
{
    struct draft *d;

    nodes_lock(fs->nodes);
    d = n->draft;
    if (d && d->busy) {
        nodes_unlock(fs->nodes);
        return -EAGAIN;
    }
    if (!d || !d->dirty || !n->parent || d->rewriter) {
        nodes_unlock(fs->nodes);
        return 0;
    }
    d->busy = true;
    while (d->writing > 0)
        nodes_wait(fs->nodes);
    if (d->rewriter) { /* that was its truncation */
        draft_unbusy_locked(fs, n, 0);
        nodes_unlock(fs->nodes);
        return 0;
    }
    v->file = file_ref_locked(d->file);
    v->stage = d->stage;
    v->held = d->held;
    v->again = d->error != 0;
    v->replaces = d->replaces;
    v->mtime = d->mtime;
    v->ctime = d->ctime;
    v->mode = d->mode;
    nodes_unlock(fs->nodes);
    return 1;
}

/* Puts the outcome into node and draft. */
static void give_back(struct fs *fs, struct node *n, const struct version *v, bool sealed, int r,
                      int64_t opid)
{
    struct draft *d;

    nodes_lock(fs->nodes);
    d = n->draft;
    if (sealed) {
        free(d->stage);
        d->stage = NULL;
        if (!hash_is_none(&v->held))
            store_let_go(fs->store, &v->held);
        d->held = v->hash;
    } else {
        d->stage = v->stage;
    }
    d->error = r;
    if (r == 0 || v->mark) {
        if (d->mark)
            store_discard(fs->store, d->mark);
        free(d->mark);
        d->mark = v->mark;
    }
    if (r == 0) {
        store_let_go(fs->store, &d->held);
        memset(&d->held, 0, sizeof(d->held));
        d->dirty = false;
        d->replaces = v->hash;
        n->attr.hash = v->hash;
        n->attr.size = v->size;
        n->attr.mtime = v->mtime;
        n->attr.ctime = v->ctime;
        n->attr.mode = v->mode;
        if (opid > 0)
            n->opid = opid;
    }
    file_unref_locked(v->file);
    draft_unbusy_locked(fs, n, 0);
    nodes_unlock(fs->nodes);
}

static int publish_draft(struct fs *fs, struct node *n)
{
    struct version v = {0};
    int64_t opid = 0;
    bool sealed;
    int r = take(fs, n, &v);

    if (r <= 0)
        return r;
    r = seal(fs, n, &v);
    sealed = r == 0;
    if (r == 0) {
        r = log_version(fs, n, &v, &opid);
        if (r < 0)
            (void)store_keep_object(fs->store, &v.hash, &v.mark);
    } else if (v.stage) {
        (void)store_keep(fs->store, &v.stage); /* the draft's, which nobody looks at while busy */
    }
    give_back(fs, n, &v, sealed, r, opid);
    fs_changed(fs, opid);
    return r;
}

struct failed {
    size_t all;
    struct node **v; /* without writers; a reference on each */
    size_t n;
    char *path; /* of the first of all */
    int error;  /* -errno */
};

static void collect_failed(void *arg, struct node *n)
{
    struct failed *l = arg;

    if (!n->draft || !n->draft->error || !n->draft->dirty || !n->parent)
        return;
    if (l->all++ == 0) {
        l->path = node_path_locked(n);
        l->error = n->draft->error;
    }
    if (n->writers > 0)
        return;
    l->v = xrealloc(l->v, (l->n + 1) * sizeof(struct node *));
    l->v[l->n++] = n;
    node_ref_locked(n);
}

static void retry_job(void *arg, int error);

/* Looks for drafts that could not be published, reports them, and queues the next try; with `now`,
 * publishes those without a writer that would do it. */
static void review(struct fs *fs, bool now)
{
    struct failed l = {0};
    bool arm;

    nodes_lock(fs->nodes);
    nodes_each_locked(fs->nodes, collect_failed, &l);
    fs->unpublished.reported = l.all > 0;
    if (now)
        fs->unpublished.armed = false;
    if (l.all == 0)
        fs->unpublished.pause = 0;
    arm = l.all > 0 && (!now || l.n == 0) && !fs->unpublished.armed && !fs->unpublished.ending;
    if (arm) {
        int64_t next = fs->unpublished.pause * 2;

        fs->unpublished.pause = !next ? RETRY_MIN_MS : next < RETRY_MAX_MS ? next : RETRY_MAX_MS;
        fs->unpublished.armed = true;
        pool_add_later(fs->pool, fs->unpublished.pause, retry_job, fs);
    }
    nodes_unlock(fs->nodes);
    mirror_unpublished(fs->mirror, l.all, l.path ? l.path : "", l.error);
    for (size_t i = 0; i < l.n; i++) {
        if (now)
            publish_start(fs, l.v[i], NULL, NULL, NULL);
        node_unref(fs->nodes, l.v[i]);
    }
    free(l.v);
    free(l.path);
}

static void retry_job(void *arg, int error)
{
    (void)error;
    review(arg, true);
}

static void publish_end(struct publish *p, int result)
{
    struct fs *fs = p->fs;
    char *path = NULL;
    int64_t opid;
    bool look;

    nodes_lock(fs->nodes);
    if (draft_settle_locked(fs, p->node))
        path = node_path_locked(p->node);
    opid = p->node->opid;
    look = result < 0 || fs->unpublished.reported;
    node_unref_locked(fs->nodes, p->node);
    nodes_unlock(fs->nodes);
    if (look)
        review(fs, false);
    if (path)
        notify_path(fs->notify, path);
    free(path);
    if (p->later && result == 0 && opid > 0)
        deferred_reply_wait(p->later, opid, p->done, p->arg);
    else if (p->done)
        p->done(p->arg, result);
    free(p);
}

static void publish_job(void *arg, int error)
{
    struct publish *p = arg;
    int r = error;

    if (r == 0)
        r = publish_draft(p->fs, p->node);
    if (r == -EAGAIN)
        draft_queue(p->fs, p->node, publish_job, p);
    else
        publish_end(p, r);
}

void publish_start(struct fs *fs, struct node *n, struct deferred_reply *l, mirror_done_fn *done,
                   void *arg)
{
    struct publish *p = xcalloc(1, sizeof(*p));

    p->fs = fs;
    p->node = n;
    p->later = l;
    p->done = done;
    p->arg = arg;
    nodes_lock(fs->nodes);
    node_ref_locked(n);
    nodes_unlock(fs->nodes);
    pool_add(fs->pool, publish_job, p, 0);
}

struct leftovers {
    struct node **v;
    size_t n, lost;
    bool all;
};

static void collect(void *arg, struct node *n)
{
    struct leftovers *l = arg;

    if (!n->draft || !n->draft->dirty || !n->parent)
        return;
    if (!l->all && n->writers > 0) {
        l->lost++;
        return;
    }
    l->v = xrealloc(l->v, (l->n + 1) * sizeof(struct node *));
    l->v[l->n++] = n;
    node_ref_locked(n);
}

void publish_leftovers(struct fs *fs, bool all)
{
    struct leftovers l = {NULL, 0, 0, all};

    nodes_lock(fs->nodes);
    fs->unpublished.ending = true;
    nodes_unlock(fs->nodes);
    pool_drain(fs->pool);
    nodes_lock(fs->nodes);
    nodes_each_locked(fs->nodes, collect, &l);
    nodes_unlock(fs->nodes);
    for (size_t i = 0; i < l.n; i++) {
        publish_start(fs, l.v[i], NULL, NULL, NULL);
        node_unref(fs->nodes, l.v[i]);
    }
    pool_drain(fs->pool);
    if (l.lost > 0)
        log_warn("%zu files were still open for writing when the mount ended: data written to them "
                 "since their last fsync is lost",
                 l.lost);
    free(l.v);
}
