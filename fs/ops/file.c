/* SPDX-License-Identifier: MIT */
/*
 * file: the life of a handle: CREATE or OPEN makes it, possibly after a fetch or a truncation, and
 * RELEASE frees it.
 */
#include "fs/ops/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fs/file/content.h"
#include "fs/file/draft.h"
#include "fs/file/notify.h"
#include "fs/file/publish.h"
#include "fs/file/turn.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"

#define PAGE 4096

/*
 * One OPEN or CREATE on its way. An O_TRUNC may have to wait for a draft that is busy, and an OPEN
 * for reading waits for a content that is not here. If the master has replaced it meanwhile, OPEN
 * can still take the next version; READ can only do so where nothing was read before.
 */
struct open {
    struct fs *fs;
    fuse_req_t req;
    struct handle *handle;
    struct fuse_file_info fi;
    struct deferred_reply *later; /* the content had to be fetched */
    struct node_attr asked;       /* the version that the kernel knows … */
    bool renewed;                 /* … or not */
    bool created;                 /* answer with `entry` */
    bool fresh;                   /* created, and the name was not there before */
    struct fuse_entry_param entry;
};

/* On Linux O_TRUNC truncates whatever else was asked for. */
static bool writes(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
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

/* The kernel gets the last page of a node's content, and by it the size. */
static bool show_size(struct fs *fs, struct node *n)
{
    char page[PAGE];
    struct file *f;
    off_t size, at;
    ssize_t len = 0;

    nodes_lock(fs->nodes);
    f = draft_file_locked(n);
    size = n->attr.size;
    nodes_unlock(fs->nodes);
    at = size > 0 ? (size - 1) / PAGE * PAGE : 0;
    if (f && size > 0)
        len = file_pread(f->fd, page, (size_t)(size - at), at);
    if (f)
        file_unref(fs->nodes, f);
    return len == size - at && notify_store(fs, n->id, page, (size_t)len, at);
}

/*
 * The kernel ends and fills its pages by the size that it knows. A longer one is announced to it when
 * the node has taken over a longer version. A shorter one cannot be: the answers that bear it, of
 * GETATTR and of a short READ, count only when no notification about the inode came meanwhile, and a
 * program would get zeros up to the old size. So reads of a node that has shrunk go past the page
 * cache, as where the announcement does not work, or while the node may still take over another
 * version (content.h). Such a handle cannot be mapped for sharing (ENODEV). With its last handle a
 * node that took over a version gives its name to a new one (ops_let_go()).
 */
static bool past_cache(const struct open *o)
{
    struct node *n = o->handle->node;
    bool unsure, longer;

    nodes_lock(o->fs->nodes);
    unsure = n->shrunk || (!content_here_locked(n) && n->attr.size > 0);
    longer = !n->draft && (o->renewed || (o->later && n->attr.size > o->asked.size));
    nodes_unlock(o->fs->nodes);
    return unsure || (longer && !show_size(o->fs, n));
}

/* The kernel is about to look the name up once more, and open what it finds. */
static void look_again(struct open *o)
{
    struct nodes *t = o->fs->nodes;
    struct node *n = o->handle->node;

    nodes_lock(t);
    if (n->attached && !n->draft)
        node_supersede_locked(t, n);
    node_stale_locked(t, n);
    nodes_unlock(t);
}

/* The content arrived: its number of blocks is known from now on. */
static void tell_blocks(struct fs *fs, struct node *n)
{
    char *path = node_path(fs->nodes, n);

    if (path)
        notify_path(fs->notify, path);
    free(path);
}

static void open_reply(struct open *o, int r)
{
    struct fs *fs = o->fs;
    int res = 0;

    if (o->later && !deferred_reply_claim(o->later)) {
        r = -EINTR; /* and told already */
    } else if (r < 0) {
        if (r == -ESTALE)
            look_again(o);
        fuse_reply_err(o->req, -r);
        if (o->created)
            node_forget(fs->nodes, o->entry.ino, 1);
    } else {
        o->fi.fh = (uint64_t)(uintptr_t)o->handle;
        o->fi.direct_io = past_cache(o);
        /* It may be another version than the cached one. */
        o->fi.keep_cache = !o->later && !o->renewed;
        o->fi.noflush = !o->handle->writable;
        if (o->later)
            tell_blocks(fs, o->handle->node);
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

/* A writer need not read: with the master away it can still truncate. */
static void open_fetched(void *arg, int error)
{
    struct open *o = arg;

    open_reply(o, error == -EIO && o->handle->writable ? 0 : error);
}

/* The handle and the rest of OPEN; takes over the caller's reference on n. */
static void open_node(struct open *o, struct node *n)
{
    struct fs *fs = o->fs;
    bool again;
    int r;

    o->handle = xcalloc(1, sizeof(*o->handle));
    o->handle->node = n;
    o->handle->writable = writes(o->fi.flags);
    if (o->handle->writable)
        close_owner_init(&o->handle->opener, fuse_req_ctx(o->req)->pid);
    o->handle->wrote = o->handle->ever = o->fresh;
    nodes_lock(fs->nodes);
    n->opens++;
    n->writers += o->handle->writable;
    again = n->again;
    o->renewed = n->renewed;
    o->asked = n->attr;
    nodes_unlock(fs->nodes);
    if (o->handle->writable && (o->fi.flags & O_TRUNC)) {
        draft_catch_up(fs, n);
        open_truncate(o, 0);
        return;
    }
    r = content_open(fs, n, FS_VERIFY_MAX);
    /* CREATE holds the folder's lock; a handle for writing only may be about to truncate. */
    if (r == 0 || o->created || (o->fi.flags & O_ACCMODE) == O_WRONLY) {
        open_reply(o, 0);
        return;
    }
    o->later = deferred_reply_new(fs, o->req, LATER_EINTR);
    content_need(fs, n, !again, open_fetched, o);
}

/*
 * 0, -ESTALE when the node is no longer what its path shows, -EROFS. At an ESTALE the kernel looks
 * the name up and opens what it finds, once: a second one would reach the program. So the node of
 * that lookup is opened even when another version has come meanwhile, as if it had been opened a
 * moment earlier; a writer's first change makes it the path's version again.
 */
static int check_open(struct fs *fs, struct node *n, const char *path, int flags)
{
    uint64_t generation = replica_generation(fs->replica);
    struct node_attr now;
    int r = replica_lookup(fs->replica, path, &now);
    bool stale;

    nodes_lock(fs->nodes);
    stale = !n->attached || (!n->draft && (r < 0 || !node_same_version(&n->attr, &now)));
    if (stale && n->attached)
        node_supersede_locked(fs->nodes, n);
    else if (!stale && !n->draft)
        n->checked = generation;
    stale = stale && !n->again;
    if (stale)
        node_stale_locked(fs->nodes, n);
    nodes_unlock(fs->nodes);
    if (stale)
        return -ESTALE;
    if (writes(flags) && !replica_writable(fs->replica, path))
        return -EROFS;
    return 0;
}

/* An OPEN for reading of a version that its path showed and still shows, and whose bytes were open
 * before: nothing else is asked. False: not so, and nothing is done. */
static bool open_at_once(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    uint64_t generation = replica_generation(fs->replica);
    struct handle *h = NULL;
    struct node *n;

    if (writes(fi->flags))
        return false;
    nodes_lock(fs->nodes);
    n = node_get_locked(fs->nodes, ino);
    if (n && n->attached && !n->draft && !n->renewed && !n->shrunk && n->checked == generation &&
        (n->attr.size == 0 || node_resume_locked(fs->nodes, n))) {
        n->opens++;
        node_ref_locked(n);
        h = xcalloc(1, sizeof(*h));
        h->node = n;
    }
    nodes_unlock(fs->nodes);
    if (!h)
        return false;
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->keep_cache = fi->noflush = 1;
    if (fuse_reply_open(req, fi) == -ENOENT)
        release_handle(fs, h);
    return true;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *n;
    struct open *o;
    char *path;
    int r;

    if (open_at_once(req, ino, fi))
        return;
    turn_pass(fs->turn);
    n = node_get(fs->nodes, ino);
    r = n ? 0 : -ESTALE;
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
static int create_name(struct fs *fs, const char *path, mode_t mode, mode_t mask, int flags,
                       struct node_attr *a, bool *fresh)
{
    bool tried = false;
    int r;

    do {
        do {
            r = replica_create_masked(fs->replica, path, mode & 07777 & ~mask, mode & mask, a);
        } while (fs_room(fs, r, &tried));
        *fresh = r == 0;
        if (r != -EEXIST || (flags & O_EXCL))
            return r;
        r = replica_lookup(fs->replica, path, a);
    } while (r == -ENOENT); /* and gone again */
    if (r == 0 && a->type != NODE_FILE)
        return a->type == NODE_DIR ? -EISDIR : -ESTALE;
    if (r == 0 && writes(flags) && !replica_writable(fs->replica, path))
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
    r = mode & (S_ISUID | S_ISGID)
            ? -EPERM
            : create_name(fs, path, mode, fuse_req_ctx(req)->umask, fi->flags, &a, &fresh);
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
    ops_enter(fs, parent, name, path, &a, fresh, &o->entry);
    n = node_get(fs->nodes, o->entry.ino);
    if (fresh) {
        atomic_fetch_add(&fs->changes, 1);
        r = draft_create(fs, n);
    }
    if (r < 0) {
        int64_t opid = 0;
        replica_unlink(fs->replica, path, NULL, &opid);
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
    if (fresh && !writes(o->fi.flags)) /* its close() publishes nothing */
        publish_start(fs, n, NULL, NULL, NULL);
    open_node(o, n);
}

/* Of an ordinary file: a CREATE that nobody has open. */
static void op_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t dev)
{
    struct fs *fs = fs_of(req);
    struct fuse_entry_param e;
    struct node_attr a;
    struct node *parent, *n;
    bool fresh;
    char *path;
    int r = S_ISREG(mode) && !(mode & (S_ISUID | S_ISGID)) ? 0 : -EPERM;

    (void)dev;
    if (r == 0)
        r = ops_begin(fs, dir, name, &parent, &path);
    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    r = create_name(fs, path, mode, fuse_req_ctx(req)->umask, O_EXCL, &a, &fresh);
    if (r < 0) {
        ops_end(fs, parent, path);
        fuse_reply_err(req, -r);
        return;
    }
    ops_enter(fs, parent, name, path, &a, true, &e);
    n = node_get(fs->nodes, e.ino);
    atomic_fetch_add(&fs->changes, 1);
    r = draft_create(fs, n);
    if (r < 0) {
        int64_t opid = 0;
        replica_unlink(fs->replica, path, NULL, &opid);
        fs_changed(fs, opid);
    }
    ops_end(fs, parent, path);
    if (r == 0) {
        ops_attr_now(fs, n, &e.attr);
        publish_start(fs, n, NULL, NULL, NULL);
    }
    if (r < 0 || fuse_reply_entry(req, &e) == -ENOENT)
        node_forget(fs->nodes, e.ino, 1);
    if (r < 0)
        fuse_reply_err(req, -r);
    node_unref(fs->nodes, n);
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
    ops->mknod = op_mknod;
    ops->open = op_open;
    ops->release = op_release;
}
