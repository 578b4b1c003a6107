/* SPDX-License-Identifier: MIT */
#include "fs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/draft.h"
#include "fs/notify.h"
#include "fs/publish.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"

#define CHASE_MS      5000 /* how long OPEN runs after versions that the master has replaced already */
#define CHASE_STEP_MS 10
#define GRACE_MS      100 /* see just_superseded() */
#define BURST_MS      30

/*
 * One OPEN or CREATE on its way. An O_TRUNC may have to wait for a draft that is busy, and an OPEN
 * for reading waits for a content that is not here: should the master have replaced it meanwhile,
 * OPEN can still say ESTALE, which the kernel answers by one more lookup, while READ could only
 * fail. For the kernel tries no third time, that ESTALE is given when the next version is here.
 */
struct open {
    struct fs *fs;
    fuse_req_t req;
    struct handle *handle;
    struct fuse_file_info fi;
    struct later *later;
    struct node_attr target; /* the version being fetched */
    int64_t deadline;        /* of the chase; clock_mono_ms() */
    bool stale;              /* superseded already: only the chase */
    bool created;            /* answer with `entry` */
    bool fresh;              /* created, and the name was not there before */
    struct fuse_entry_param entry;
};

void ops_let_go(struct fs *fs, struct node *n, bool writable)
{
    bool dirty;
    char *path = NULL;

    nodes_lock(fs->nodes);
    n->opens--;
    n->writers -= writable;
    dirty = writable && n->writers == 0 && n->draft && n->draft->dirty && n->parent;
    if (!dirty && draft_settle_locked(fs, n))
        path = node_path_locked(n);
    if (n->opens == 0) {
        file_unref_locked(n->content);
        n->content = NULL;
    }
    nodes_unlock(fs->nodes);
    if (dirty) /* what an mmap wrote after close(), or a handle that was never flushed */
        publish_start(fs, n, NULL, NULL, NULL);
    if (path)
        notify_path(fs->notify, path);
    free(path);
}

static void release_handle(struct fs *fs, struct handle *h)
{
    nodes_lock(fs->nodes);
    draft_leave_locked(h->node, h);
    nodes_unlock(fs->nodes);
    ops_let_go(fs, h->node, h->writable);
    node_unref(fs->nodes, h->node);
    free(h);
}

static void open_reply(struct open *o, int r)
{
    struct fs *fs = o->fs;
    int res = 0;

    if (o->later && !later_claim(o->later)) {
        r = -EINTR; /* and told already */
    } else if (r < 0) {
        fuse_reply_err(o->req, -r);
        if (o->created)
            node_forget(fs->nodes, o->entry.ino, 1);
    } else {
        o->fi.fh = (uint64_t)(uintptr_t)o->handle;
        o->fi.keep_cache = 1;
        o->fi.noflush = !o->handle->writable;
        if (o->created) {
            struct node *n = o->handle->node;
            ops_attr_now(fs, n, &o->entry.attr);
            res = fuse_reply_create(o->req, &o->entry, &o->fi);
        } else {
            res = fuse_reply_open(o->req, &o->fi);
        }
        if (res == -ENOENT && o->created)
            node_forget(fs->nodes, o->entry.ino, 1);
    }
    if (r < 0 || res == -ENOENT)
        release_handle(fs, o->handle);
    free(o);
}

static void open_truncate(void *arg, int error)
{
    struct open *o = arg;
    int r = error ? error : draft_try(o->fs, o->handle->node, true);

    if (r == -EAGAIN) {
        draft_queue(o->fs, o->handle->node, open_truncate, o);
        return;
    }
    if (r == 1) {
        r = draft_truncate(o->fs, o->handle->node, 0);
        draft_done(o->fs, o->handle->node, o->handle, true, r);
    }
    open_reply(o, r);
}

/* Has the node's content open for reading. 0, or -errno of store_open. */
static int open_content(struct fs *fs, struct node *n, int64_t verify_max)
{
    struct node_attr a;
    bool want;
    int fd;

    nodes_lock(fs->nodes);
    a = n->attr;
    want = !n->content && !n->draft && !hash_is_none(&a.hash) && a.size > 0;
    nodes_unlock(fs->nodes);
    if (!want)
        return 0;
    fd = store_open(fs->store, &a.hash, a.size, verify_max);
    if (fd < 0)
        return fd;
    nodes_lock(fs->nodes);
    if (!n->content && hash_eq(&a.hash, &n->attr.hash)) {
        n->content = file_new(fd);
        fd = -1;
    }
    nodes_unlock(fs->nodes);
    if (fd >= 0)
        close(fd);
    return 0;
}

static void open_fetched(void *arg, int result);

/* Runs after the versions of the path until one is here, or nothing new comes. */
static void open_chase(void *arg, int error)
{
    struct open *o = arg;
    struct fs *fs = o->fs;
    struct node_attr now;
    int64_t time = clock_mono_ms();
    char *path = node_path(fs->nodes, o->handle->node);
    int r = path ? replica_lookup(fs->replica, path, &now) : -ENOENT;

    (void)error;
    free(path);
    if (!o->deadline)
        o->deadline = time + CHASE_MS;
    if (r < 0 || now.type != NODE_FILE || now.size == 0 || time >= o->deadline) {
        open_reply(o, -ESTALE);
    } else if (hash_eq(&now.hash, &o->target.hash)) {
        pool_add_later(fs->pool, CHASE_STEP_MS, open_chase, o);
    } else if (store_has(fs->store, &now.hash, now.size)) {
        open_reply(o, -ESTALE);
    } else {
        o->target = now;
        mirror_fetch(fs->mirror, &now.hash, now.size, open_fetched, o);
    }
}

static void open_fetch_job(void *arg, int error)
{
    struct open *o = arg;
    struct node *n = o->handle->node;
    bool own;
    int r = error;

    nodes_lock(o->fs->nodes);
    own = hash_eq(&o->target.hash, &n->attr.hash);
    nodes_unlock(o->fs->nodes);
    if (r == -ESTALE) {
        open_chase(o, 0);
        return;
    }
    if (r == 0 && own)
        r = open_content(o->fs, n, INT64_MAX);
    if (r == -ENOENT || r == -EAGAIN)
        r = 0; /* evicted in between: READ fetches it again */
    open_reply(o, r == 0 && !own ? -ESTALE : r);
}

static void open_fetched(void *arg, int result)
{
    struct open *o = arg;

    pool_add(o->fs->pool, open_fetch_job, o, result);
}

/* The handle and the rest of OPEN; takes over the caller's reference on n. */
static void open_node(struct open *o, struct node *n)
{
    struct fs *fs = o->fs;
    int r;

    o->handle = xcalloc(1, sizeof(*o->handle));
    o->handle->node = n;
    o->handle->writable = (o->fi.flags & O_ACCMODE) != O_RDONLY;
    o->handle->wrote = o->handle->ever = o->fresh;
    nodes_lock(fs->nodes);
    n->opens++;
    n->writers += o->handle->writable;
    nodes_unlock(fs->nodes);
    if (o->stale) {
        nodes_lock(fs->nodes);
        o->target = n->attr;
        nodes_unlock(fs->nodes);
        o->later = later_new(fs, o->req, LATER_EINTR);
        /* A reader has just_superseded(); a writer lets a burst of versions pass first. */
        if (o->handle->writable)
            pool_add_later(fs->pool, BURST_MS, open_chase, o);
        else
            open_chase(o, 0);
        return;
    }
    if (o->handle->writable && (o->fi.flags & O_TRUNC)) {
        open_truncate(o, 0);
        return;
    }
    r = open_content(fs, n, FS_VERIFY_MAX);
    if (r == 0 || o->created || o->handle->writable) { /* CREATE holds the folder's lock */
        open_reply(o, 0);
        return;
    }
    nodes_lock(fs->nodes);
    o->target = n->attr;
    nodes_unlock(fs->nodes);
    o->later = later_new(fs, o->req, LATER_EINTR);
    mirror_fetch(fs->mirror, &o->target.hash, o->target.size, open_fetched, o);
}

/* A version that was the newest a moment ago, when the kernel looked it up, and that is here, may
 * still be read: where versions follow each other quickly the kernel's one retry is not enough. */
static bool just_superseded(struct fs *fs, struct node *n, int flags)
{
    struct node_attr a;
    bool recent, open;

    nodes_lock(fs->nodes);
    a = n->attr;
    recent = a.type == NODE_FILE && clock_mono_ms() - n->superseded < GRACE_MS;
    open = n->content != NULL;
    nodes_unlock(fs->nodes);
    return recent && (flags & O_ACCMODE) == O_RDONLY &&
           (open || a.size == 0 || store_has(fs->store, &a.hash, a.size));
}

/* 0, -ESTALE when the node is no longer what its path shows, -EROFS. */
static int check_open(struct fs *fs, struct node *n, const char *path, int flags)
{
    struct node_attr now;
    int r = replica_lookup(fs->replica, path, &now);
    bool stale;

    nodes_lock(fs->nodes);
    stale = !n->attached || (!n->draft && (r < 0 || !node_same_version(&n->attr, &now)));
    if (stale && n->attached)
        node_supersede_locked(fs->nodes, n);
    nodes_unlock(fs->nodes);
    if (stale)
        return just_superseded(fs, n, flags) ? 0 : -ESTALE;
    if ((flags & O_ACCMODE) != O_RDONLY && !replica_writable(fs->replica, path))
        return -EROFS;
    return 0;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *n = node_get(fs->nodes, ino);
    struct open *o;
    char *path;
    int r = n ? 0 : -ESTALE;

    if (n) {
        fs_tree_read(fs);
        path = node_path(fs->nodes, n);
        if (path) /* else unlinked, and opened again through /proc */
            r = check_open(fs, n, path, fi->flags);
        fs_tree_unlock(fs);
        free(path);
    }
    if (r < 0 && (!n || r != -ESTALE)) {
        fuse_reply_err(req, -r);
        node_unref(fs->nodes, n);
        return;
    }
    o = xcalloc(1, sizeof(*o));
    o->fs = fs;
    o->req = req;
    o->fi = *fi;
    o->stale = r == -ESTALE;
    open_node(o, n);
}

/* Makes the name, or finds one that the master made meanwhile. 0 or -errno; *fresh: it is new. */
static int create_name(struct fs *fs, const char *path, mode_t mode, int flags, struct node_attr *a,
                       bool *fresh)
{
    bool tried = false;
    int r;

    do {
        r = replica_create(fs->replica, path, mode & 07777, a);
    } while (fs_room(fs, r, &tried));
    *fresh = r == 0;
    if (r != -EEXIST || (flags & O_EXCL))
        return r;
    r = replica_lookup(fs->replica, path, a);
    if (r == 0 && a->type != NODE_FILE)
        return a->type == NODE_DIR ? -EISDIR : -ESTALE;
    if (r == 0 && (flags & O_ACCMODE) != O_RDONLY && !replica_writable(fs->replica, path))
        return -EROFS;
    return r;
}

static void op_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node_attr a;
    struct node *parent, *n;
    struct open *o;
    bool fresh;
    char *path;
    int r = ops_begin(fs, dir, name, &parent, &path);

    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    r = create_name(fs, path, mode, fi->flags, &a, &fresh);
    if (r < 0) {
        ops_end(fs, parent, path);
        fuse_reply_err(req, -r);
        return;
    }
    o = xcalloc(1, sizeof(*o));
    o->fs = fs;
    o->req = req;
    o->fi = *fi;
    o->created = true;
    ops_enter(fs, parent, name, path, &a, &o->entry);
    n = node_get(fs->nodes, o->entry.ino);
    if (fresh) {
        atomic_fetch_add(&fs->changes, 1);
        r = draft_create(fs, n);
    }
    if (r < 0) {
        int64_t opid = 0;
        replica_unlink(fs->replica, path, &opid);
        fs_changed(fs, opid);
    }
    ops_end(fs, parent, path);
    if (r < 0) {
        fuse_reply_err(req, -r);
        node_forget(fs->nodes, o->entry.ino, 1);
        node_unref(fs->nodes, n);
        free(o);
        return;
    }
    o->fresh = fresh;
    if (fresh)
        o->fi.flags &= ~O_TRUNC;
    open_node(o, n);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    release_handle(fs_of(req), handle_of(fi));
    fuse_reply_err(req, 0);
}

void ops_file(struct fuse_lowlevel_ops *ops)
{
    ops->create = op_create;
    ops->open = op_open;
    ops->release = op_release;
}
