/* SPDX-License-Identifier: MIT */
#include "fs/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/draft.h"
#include "fs/later.h"
#include "fs/publish.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"

/* --- READ: from the open file, or queued until the content is here --- */

struct fetch {
    struct fs *fs;
    fuse_req_t req;
    struct later *later;
    struct node *node; /* holds a reference */
    struct node_attr version;
    size_t size;
    off_t off;
    int attempts;
};

static void reply_read(fuse_req_t req, struct file *f, size_t size, off_t off)
{
    char *data = xmalloc(size ? size : 1);
    ssize_t n = file_pread(f->fd, data, size, off);

    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, data, (size_t)n);
    free(data);
}

/* Opens the node's object when nobody has yet. 0 with a reference, or -errno of store_open. */
static int open_object(struct fs *fs, struct node *n, const struct node_attr *version,
                       int64_t verify_max, struct file **ret)
{
    int fd = store_open(fs->store, &version->hash, version->size, verify_max);

    if (fd < 0)
        return fd;
    nodes_lock(fs->nodes);
    *ret = draft_file_locked(n);
    if (!*ret) {
        *ret = file_new(fd);
        fd = -1;
        if (n->opens > 0)
            n->content = file_ref_locked(*ret);
    }
    nodes_unlock(fs->nodes);
    if (fd >= 0)
        close(fd);
    return 0;
}

static void fetch_end(struct fetch *w, struct file *f, int r)
{
    struct fs *fs = w->fs;

    if (later_claim(w->later)) {
        if (r == 0)
            reply_read(w->req, f, w->size, w->off);
        else
            fuse_reply_err(w->req, -r);
    }
    nodes_lock(fs->nodes);
    file_unref_locked(f);
    node_unref_locked(fs->nodes, w->node);
    nodes_unlock(fs->nodes);
    free(w);
}

static void fetched(void *arg, int result);

static void fetch_job(void *arg, int error)
{
    struct fetch *w = arg;
    struct file *f = NULL;
    int r = error;

    if (r == 0)
        r = open_object(w->fs, w->node, &w->version, INT64_MAX, &f);
    if (error == 0 && r == -ENOENT && w->attempts++ < 2) { /* not here, or evicted in between */
        mirror_fetch(w->fs->mirror, &w->version.hash, w->version.size, fetched, w);
        return;
    }
    fetch_end(w, f, r == -ENOENT ? -EIO : r);
}

static void fetched(void *arg, int result)
{
    struct fetch *w = arg;

    pool_add(w->fs->pool, fetch_job, w, result);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *n = handle_of(fi)->node;
    struct node_attr version;
    struct file *f;
    struct fetch *w;
    int r = 0;

    (void)ino;
    nodes_lock(fs->nodes);
    f = draft_file_locked(n);
    version = n->attr;
    nodes_unlock(fs->nodes);
    if (!f && (hash_is_none(&version.hash) || version.size == 0)) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (!f)
        r = open_object(fs, n, &version, FS_VERIFY_MAX, &f);
    if (f) {
        reply_read(req, f, size, off);
        file_unref(fs->nodes, f);
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
    w->version = version;
    w->size = size;
    w->off = off;
    nodes_lock(fs->nodes);
    node_ref_locked(n);
    nodes_unlock(fs->nodes);
    w->later = later_new(fs, req, LATER_EINTR);
    /* -EAGAIN: it is here but has to be hashed; that too is the mirror's work */
    mirror_fetch(fs->mirror, &version.hash, version.size, fetched, w);
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
        fuse_reply_err(w->req, -r);
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

/* --- FLUSH and FSYNC: publish and wait for the master --- */

struct wait {
    fuse_req_t req;
    struct later *later;
};

static void waited(void *arg, int result)
{
    struct wait *w = arg;

    if (later_claim(w->later))
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
    w->later = later_new(fs, req, LATER_CUT);
    if (publish)
        publish_start(fs, h->node, w->later, waited, w);
    else
        later_wait(w->later, opid, waited, w);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct handle *h = handle_of(fi);

    (void)ino;
    if (h->writable)
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
    ops->write = op_write;
    ops->flush = op_flush;
    ops->fsync = op_fsync;
}
