/* SPDX-License-Identifier: MIT */
/*
 * A listing is taken from the replica when it is read from its start, and what of it does not fit
 * into one answer is kept with the handle. The attributes kept may be used only while nothing has
 * changed (fs->changes): a change that comes after the look at that counter finds the node in the
 * table and its notification waits for this request (notify.c).
 */
#include "fs/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/draft.h"
#include "fs/later.h"
#include "sync/common/buf.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"

struct child {
    char *name;
    struct node_attr attr;
};

struct listing {
    struct node *node; /* holds a reference */
    pthread_mutex_t lock;
    struct child *v; /* guarded by lock, as all below */
    size_t n, cap;
    uint64_t changes; /* fs->changes when it was taken */
};

static struct listing *listing_of(const struct fuse_file_info *fi)
{
    return (struct listing *)(uintptr_t)fi->fh;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct listing *l;
    struct node *n = node_get(fs->nodes, ino);

    if (!n) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    l = xcalloc(1, sizeof(*l));
    l->node = n;
    mutex_init(&l->lock);
    fi->fh = (uint64_t)(uintptr_t)l;
    fi->cache_readdir = 1;
    fi->keep_cache = 1;
    if (fuse_reply_open(req, fi) == -ENOENT) {
        node_unref(fs->nodes, n);
        mutex_destroy(&l->lock);
        free(l);
    }
}

static void clear(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].name);
    l->n = 0;
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct listing *l = listing_of(fi);

    (void)ino;
    clear(l);
    node_unref(fs_of(req)->nodes, l->node);
    mutex_destroy(&l->lock);
    free(l->v);
    free(l);
    fuse_reply_err(req, 0);
}

static int keep(void *arg, const char *name, const struct node_attr *attr)
{
    struct listing *l = arg;

    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 32;
        l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
    }
    l->v[l->n].name = xstrdup(name);
    l->v[l->n++].attr = *attr;
    return 0;
}

/* Adds entry `i` (0 ".", 1 "..", then the children); returns its size, more than `room` when it
 * did not fit, 0 when it is gone meanwhile. */
static size_t add_child(fuse_req_t req, struct listing *l, const char *dir, size_t i, char *buf,
                        size_t room, bool plus)
{
    static const char *const dots[] = {".", ".."};
    struct fs *fs = fs_of(req);
    const char *name = i < 2 ? dots[i] : l->v[i - 2].name;
    struct fuse_entry_param e = {.attr = {.st_mode = S_IFDIR, .st_ino = l->node->attr.ino}};
    struct node_attr a;
    size_t size;
    char *path;

    if (i >= 2) {
        a = l->v[i - 2].attr;
        path = path_join(dir, name);
        if (plus && l->changes != atomic_load(&fs->changes) &&
            replica_lookup(fs->replica, path, &a) < 0) {
            free(path);
            return 0;
        }
        if (plus)
            ops_enter(fs, l->node, name, path, &a, false, &e);
        else
            attr_stat(&fs->rules, path, &a, &e.attr);
        free(path);
    }
    if (!plus)
        return fuse_add_direntry(req, buf, room, name, &e.attr, (off_t)i + 1);
    size = fuse_add_direntry_plus(req, buf, room, name, &e, (off_t)i + 1);
    if (size > room && e.ino)
        node_forget(fs->nodes, e.ino, 1);
    return size;
}

static int fill(fuse_req_t req, struct listing *l, const char *dir, size_t size, off_t off,
                bool plus, struct buf *out)
{
    struct fs *fs = fs_of(req);
    int r;

    if (off == 0) {
        clear(l);
        l->changes = atomic_load(&fs->changes);
        r = replica_readdir(fs->replica, dir, keep, l);
        if (r < 0)
            return r;
    }
    buf_reserve(out, size);
    for (size_t i = (size_t)off; i < l->n + 2; i++) {
        size_t n = add_child(req, l, dir, i, out->data + out->len, size - out->len, plus);
        if (n > size - out->len)
            break;
        out->len += n;
    }
    return 0;
}

static void read_listing(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                         struct fuse_file_info *fi, bool plus)
{
    struct fs *fs = fs_of(req);
    struct listing *l = listing_of(fi);
    struct buf out = BUF_INIT;
    struct node *n;
    char *dir;
    int r = ops_begin(fs, ino, NULL, &n, &dir);

    if (r == 0) {
        mutex_lock(&l->lock);
        r = fill(req, l, dir, size, off, plus, &out);
        mutex_unlock(&l->lock);
        ops_end(fs, n, dir);
    }
    if (r < 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_buf(req, out.data, out.len);
    buf_release(&out);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    read_listing(req, ino, size, off, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi)
{
    read_listing(req, ino, size, off, fi, true);
}

/* --- fsyncdir: everything that was changed here so far is on the master or safely queued --- */

struct sync {
    struct fs *fs;
    fuse_req_t req;
    struct later *later;
};

static void synced(void *arg, int result)
{
    struct sync *s = arg;

    if (later_claim(s->later))
        fuse_reply_err(s->req, -result);
    free(s);
}

static void sync_job(void *arg, int error)
{
    struct sync *s = arg;
    int64_t opid = atomic_load(&s->fs->newest_op);
    int r = error ? error : replica_sync(s->fs->replica);

    if (r < 0 || opid == 0)
        synced(s, r);
    else
        later_wait(s->later, opid, synced, s);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct sync *s = xcalloc(1, sizeof(*s));

    (void)ino;
    (void)datasync;
    (void)fi;
    s->fs = fs_of(req);
    s->req = req;
    s->later = later_new(s->fs, req, LATER_CUT);
    pool_add(s->fs->pool, sync_job, s, 0);
}

void ops_dir(struct fuse_lowlevel_ops *ops)
{
    ops->opendir = op_opendir;
    ops->releasedir = op_releasedir;
    ops->readdir = op_readdir;
    ops->readdirplus = op_readdirplus;
    ops->fsyncdir = op_fsyncdir;
}
