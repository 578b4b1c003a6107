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

/* One OPEN or CREATE on its way; an O_TRUNC may have to wait for a draft that is busy. */
struct open {
    struct fs *fs;
    fuse_req_t req;
    struct handle *handle;
    struct fuse_file_info fi;
    bool created; /* answer with `entry` */
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
    ops_let_go(fs, h->node, h->writable);
    node_unref(fs->nodes, h->node);
    free(h);
}

static void open_reply(struct open *o, int r)
{
    struct fs *fs = o->fs;
    int res = 0;

    if (r < 0) {
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
        draft_done(o->fs, o->handle->node, r);
    }
    open_reply(o, r);
}

/* For reading: have the content open, when that is a matter of microseconds. */
static void open_content(struct fs *fs, struct node *n)
{
    struct node_attr a;
    bool want;
    int fd;

    nodes_lock(fs->nodes);
    a = n->attr;
    want = !n->content && !n->draft && !hash_is_none(&a.hash);
    nodes_unlock(fs->nodes);
    if (!want)
        return;
    fd = store_open(fs->store, &a.hash, a.size, FS_VERIFY_MAX);
    if (fd < 0)
        return;
    nodes_lock(fs->nodes);
    if (!n->content && hash_eq(&a.hash, &n->attr.hash)) {
        n->content = file_new(fd);
        fd = -1;
    }
    nodes_unlock(fs->nodes);
    if (fd >= 0)
        close(fd);
}

/* The handle and the rest of OPEN; takes over the caller's reference on n. */
static void open_node(struct open *o, struct node *n)
{
    struct fs *fs = o->fs;

    o->handle = xcalloc(1, sizeof(*o->handle));
    o->handle->node = n;
    o->handle->writable = (o->fi.flags & O_ACCMODE) != O_RDONLY;
    nodes_lock(fs->nodes);
    n->opens++;
    n->writers += o->handle->writable;
    nodes_unlock(fs->nodes);
    if (o->handle->writable && (o->fi.flags & O_TRUNC)) {
        open_truncate(o, 0);
        return;
    }
    open_content(fs, n);
    open_reply(o, 0);
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
        return -ESTALE;
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
    if (r < 0) {
        fuse_reply_err(req, -r);
        node_unref(fs->nodes, n);
        return;
    }
    o = xcalloc(1, sizeof(*o));
    o->fs = fs;
    o->req = req;
    o->fi = *fi;
    open_node(o, n);
}

/* Makes the name, or finds one that the master made meanwhile. 0 or -errno; *fresh: it is new. */
static int create_name(struct fs *fs, const char *path, mode_t mode, int flags, struct node_attr *a,
                       bool *fresh)
{
    int r = replica_create(fs->replica, path, mode & 07777, a);

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
