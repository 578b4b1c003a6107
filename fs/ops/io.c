/* SPDX-License-Identifier: MIT */
/*
 * io: reading and writing.
 *
 *   READ    the open content or draft; else it is fetched, and the answer comes later
 *   WRITE   into the draft; while that is busy (first copy, publishing) the request queues up there
 *   FLUSH   publishes what this handle wrote; the answer comes with the master's, or an interrupt
 */
#include "fs/ops/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/file/content.h"
#include "fs/file/draft.h"
#include "fs/file/deferred_reply.h"
#include "fs/file/publish.h"
#include "fs/file/turn.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"

#define AT_ONCE_MAX 65536 /* bytes of a READ that is no reason to wake another thread */

/* --- READ: from the open file, or queued until the content is here --- */

struct fetch {
    struct fs *fs;
    fuse_req_t req;
    struct deferred_reply *later;
    struct node *node; /* holds a reference */
    size_t size;
    off_t off;
    int whence; /* LSEEK; -1: READ */
};

static void reply_seek(fuse_req_t req, const struct file *f, off_t off, int whence)
{
    off_t at = lseek(f->fd, off, whence); /* its own position is nobody's */

    if (at < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_lseek(req, at);
}

/* An object's bytes, if they are few and in memory: all that were asked for, or -1. */
static ssize_t read_at_once(const struct file *f, char *data, size_t size, off_t off)
{
    struct iovec v = {data, size};
    off_t left = f->stamp.size - off;

    if (hash_is_none(&f->hash) || left <= 0 || size > AT_ONCE_MAX)
        return -1;
    if ((size_t)left < size)
        v.iov_len = (size_t)left;
    return preadv2(f->fd, &v, 1, off, RWF_NOWAIT) == (ssize_t)v.iov_len ? (ssize_t)v.iov_len : -1;
}

static void reply_read(fuse_req_t req, struct file *f, size_t size, off_t off)
{
    char *data = xmalloc(size ? size : 1);
    ssize_t n = read_at_once(f, data, size, off);

    if (n < 0) {
        turn_pass(fs_of(req)->turn);
        n = file_pread(f->fd, data, size, off);
    }
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, data, (size_t)n);
    free(data);
}

/* For a handle whose bytes nobody has any more: it has no name to look up again. */
static int by_handle(int error)
{
    return error == -ESTALE ? -ENOENT : error;
}

static void fetched(void *arg, int error)
{
    struct fetch *w = arg;
    struct fs *fs = w->fs;
    struct file *f;

    nodes_lock(fs->nodes);
    f = draft_file_locked(w->node);
    nodes_unlock(fs->nodes);
    if (deferred_reply_claim(w->later)) {
        if (error < 0)
            fuse_reply_err(w->req, -by_handle(error));
        else if (w->whence >= 0 && f)
            reply_seek(w->req, f, w->off, w->whence);
        else if (w->whence >= 0)
            fuse_reply_err(w->req, ENXIO);
        else if (f)
            reply_read(w->req, f, w->size, w->off);
        else
            fuse_reply_buf(w->req, NULL, 0); /* the version that came is empty */
    }
    nodes_lock(fs->nodes);
    file_unref_locked(f);
    node_unref_locked(fs->nodes, w->node);
    nodes_unlock(fs->nodes);
    free(w);
}

/* READ, or LSEEK with `whence`. */
static void look_into(fuse_req_t req, struct node *n, size_t size, off_t off, int whence)
{
    struct fs *fs = fs_of(req);
    struct file *f;
    struct fetch *w;
    int r = content_open(fs, n, FS_VERIFY_MAX);

    nodes_lock(fs->nodes);
    f = draft_file_locked(n);
    nodes_unlock(fs->nodes);
    if (f) {
        if (whence >= 0)
            reply_seek(req, f, off, whence);
        else
            reply_read(req, f, size, off);
        file_unref(fs->nodes, f);
        return;
    }
    if (r == 0 && whence >= 0) {
        fuse_reply_err(req, ENXIO); /* empty */
        return;
    }
    if (r == 0) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (r != -ENOENT && r != -EAGAIN) {
        fuse_reply_err(req, -r);
        return;
    }
    w = xcalloc(1, sizeof(*w));
    w->fs = fs;
    w->req = req;
    w->node = n;
    w->size = size;
    w->off = off;
    w->whence = whence;
    nodes_lock(fs->nodes);
    node_ref_locked(n);
    nodes_unlock(fs->nodes);
    w->later = deferred_reply_new(fs, req, LATER_EINTR);
    /* -EAGAIN: it is here but has to be hashed; that too is not for this thread */
    content_need(fs, n, false, fetched, w);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    (void)ino;
    look_into(req, handle_of(fi)->node, size, off, -1);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                     struct fuse_file_info *fi)
{
    (void)ino;
    look_into(req, handle_of(fi)->node, 0, off, whence);
}

/* --- WRITE: into the draft, or queued with its bytes while the draft is busy --- */

struct write {
    struct fs *fs;
    fuse_req_t req;
    struct node *node;     /* holds a reference */
    struct handle *handle; /* stays while the request is not answered */
    off_t off;
    size_t size;
    char data[];
};

static void write_now(fuse_req_t req, struct handle *h, const char *data, size_t size, off_t off)
{
    struct fs *fs = fs_of(req);
    int r = draft_write(fs, h->node, data, size, off);

    draft_done(fs, h->node, h, false, r);
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_write(req, size);
}

static void write_job(void *arg, int error)
{
    struct write *w = arg;
    struct fs *fs = w->fs;
    int r = error ? error : draft_try(fs, w->node, false);

    if (r == -EAGAIN) {
        draft_queue(fs, w->node, write_job, w);
        return;
    }
    if (r == 1)
        write_now(w->req, w->handle, w->data, w->size, w->off);
    else
        fuse_reply_err(w->req, -by_handle(r));
    node_unref(fs->nodes, w->node);
    free(w);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *n = handle_of(fi)->node;
    struct write *w;
    int r = draft_try(fs, n, false);

    (void)ino;
    if (fi->flags & O_APPEND)
        off = DRAFT_END;
    if (r == 1) {
        write_now(req, handle_of(fi), data, size, off);
        return;
    }
    if (r != -EAGAIN) {
        fuse_reply_err(req, -r);
        return;
    }
    w = xmalloc(sizeof(*w) + size);
    w->fs = fs;
    w->req = req;
    w->node = n;
    w->handle = handle_of(fi);
    w->off = off;
    w->size = size;
    memcpy(w->data, data, size);
    nodes_lock(fs->nodes);
    node_ref_locked(n);
    nodes_unlock(fs->nodes);
    draft_queue(fs, n, write_job, w);
}

/* --- FALLOCATE: as a WRITE without bytes --- */

struct alloc {
    struct fs *fs;
    fuse_req_t req;
    struct node *node;     /* holds a reference */
    struct handle *handle; /* stays while the request is not answered */
    int mode;
    off_t off, len;
};

static void alloc_job(void *arg, int error)
{
    struct alloc *a = arg;
    struct fs *fs = a->fs;
    int r = error ? error : draft_try(fs, a->node, false);

    if (r == -EAGAIN) {
        draft_queue(fs, a->node, alloc_job, a);
        return;
    }
    if (r == 1) {
        r = draft_allocate(fs, a->node, a->mode, a->off, a->len);
        draft_done(fs, a->node, a->handle, false, r);
    }
    fuse_reply_err(a->req, -r);
    node_unref(fs->nodes, a->node);
    free(a);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                         struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct alloc *a = xcalloc(1, sizeof(*a));

    (void)ino;
    a->fs = fs;
    a->req = req;
    a->handle = handle_of(fi);
    a->node = a->handle->node;
    a->mode = mode;
    a->off = off;
    a->len = len;
    nodes_lock(fs->nodes);
    node_ref_locked(a->node);
    nodes_unlock(fs->nodes);
    alloc_job(a, 0);
}

/* --- FLUSH and FSYNC: publish and wait for the master --- */

struct wait {
    fuse_req_t req;
    struct deferred_reply *later;
};

static void waited(void *arg, int result)
{
    struct wait *w = arg;

    if (deferred_reply_claim(w->later))
        fuse_reply_err(w->req, -result);
    free(w);
}

static void flush(fuse_req_t req, struct handle *h, bool fsync)
{
    struct fs *fs = fs_of(req);
    int64_t opid = 0;
    bool publish = draft_flush(fs, h, fsync, &opid);
    struct wait *w;

    if (!publish && opid == 0) {
        fuse_reply_err(req, 0);
        return;
    }
    w = xcalloc(1, sizeof(*w));
    w->req = req;
    w->later = deferred_reply_new(fs, req, LATER_CUT);
    if (publish)
        publish_start(fs, h->node, w->later, waited, w);
    else
        deferred_reply_wait(w->later, opid, waited, w);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct handle *h = handle_of(fi);

    (void)ino;
    if (h->writable && close_owner_closes(&h->opener, fuse_req_ctx(req)->pid))
        flush(req, h, false);
    else
        fuse_reply_err(req, 0);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    flush(req, handle_of(fi), true);
}

void ops_io(struct fuse_lowlevel_ops *ops)
{
    ops->read = op_read;
    ops->lseek = op_lseek;
    ops->write = op_write;
    ops->fallocate = op_fallocate;
    ops->flush = op_flush;
    ops->fsync = op_fsync;
}
