/* SPDX-License-Identifier: MIT */
/*
 * A READDIR asks the replica for the names behind an offset, as many as fit into the answer: no
 * state is kept between two of them, so a folder needs no handle (OPENDIR is answered with ENOSYS
 * once, and the kernel opens folders by itself and keeps their listings). An offset is the name's
 * own, for ever (cookie.h), so a reader continues correctly whatever changed meanwhile, and from
 * wherever the kernel's own copy of the listing ends: the kernel asks for the names behind an
 * offset that its copy lacks (fs/fuse/readdir.c).
 *
 * The attributes that came with a name may be used only while nothing has changed (fs->changes): a
 * change that comes after the look at that counter finds the node in the table and its
 * notification waits for this request (notify.c).
 */
#include "fs/ops/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file/draft.h"
#include "fs/file/deferred_reply.h"
#include "sync/common/buf.h"
#include "sync/common/path.h"

enum { DOT = 1, DOT_DOT = 2 }; /* offsets of "." and ".." */

struct child {
    char *name;
    int64_t place;
    struct node_attr attr;
};

/* What one READDIR answers. */
struct listing {
    struct fs *fs;
    fuse_req_t req;
    struct node *node;
    const char *dir;
    bool plus;
    uint64_t changes; /* fs->changes before the replica was asked */
    struct child *v;
    size_t n, cap;
    size_t bytes; /* that they take at least */
    size_t size;  /* of the answer, at most */
    struct buf out;
};

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    if (fs_of(req)->no_opendir) {
        fuse_reply_err(req, ENOSYS);
        return;
    }
    fi->fh = 0;
    fi->cache_readdir = 1;
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    (void)fi;
    fuse_reply_err(req, 0);
}

static int keep(void *arg, const char *name, int64_t place, const struct node_attr *attr)
{
    struct listing *l = arg;

    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 32;
        l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
    }
    l->v[l->n++] = (struct child){xstrdup(name), place, *attr};
    l->bytes += l->plus ? fuse_add_direntry_plus(l->req, NULL, 0, name, NULL, 0)
                        : fuse_add_direntry(l->req, NULL, 0, name, NULL, 0);
    return l->bytes > l->size; /* that one does not fit any more */
}

static void forget_children(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].name);
    l->n = l->bytes = 0;
}

/* Adds an entry unless it does not fit: false. */
static bool add(struct listing *l, const char *name, const struct fuse_entry_param *e,
                int64_t place)
{
    char *at = l->out.data + l->out.len;
    size_t room = l->size - l->out.len;
    size_t n = l->plus ? fuse_add_direntry_plus(l->req, at, room, name, e, place)
                       : fuse_add_direntry(l->req, at, room, name, &e->attr, place);

    if (n > room)
        return false;
    l->out.len += n;
    return true;
}

/* A file that is being written here keeps the inode number that its handles see, whatever the feed
 * brought. */
static void own_number(struct listing *l, struct child *c)
{
    struct node *n;

    nodes_lock(l->fs->nodes);
    n = node_child_locked(l->fs->nodes, l->node, c->name);
    if (n && n->draft)
        c->attr.ino = n->attr.ino;
    nodes_unlock(l->fs->nodes);
}

/* 1: added; 0: does not fit; -ENOENT: gone meanwhile; other -errno. */
static int add_child(struct listing *l, struct child *c)
{
    struct fs *fs = l->fs;
    struct fuse_entry_param e = {.ino = 0};
    char *path = path_join(l->dir, c->name);
    int r = 0;

    if (!l->plus) {
        own_number(l, c);
        fs_stat(fs, path, &c->attr, &e.attr);
    } else if (l->changes != atomic_load(&fs->changes)) {
        r = replica_lookup(fs->replica, path, &c->attr);
    }
    if (r == 0 && l->plus)
        ops_enter(fs, l->node, c->name, path, &c->attr, false, &e);
    free(path);
    if (r < 0)
        return r;
    if (add(l, c->name, &e, c->place))
        return 1;
    if (e.ino)
        node_forget(fs->nodes, e.ino, 1);
    return 0;
}

/* Adds the names behind `off` that fit. An answer without any means the end of the listing, so the
 * replica is asked again when all found names are gone by now. */
static int add_children(struct listing *l, int64_t off)
{
    int r = 1;

    do {
        forget_children(l);
        l->changes = atomic_load(&l->fs->changes);
        r = replica_readdir(l->fs->replica, l->dir, off, l->plus, keep, l);
        if (r < 0 || l->n == 0)
            return r;
        r = 1;
        for (size_t i = 0; r == 1 && i < l->n; i++) {
            r = add_child(l, &l->v[i]);
            if (r == -ENOENT)
                r = 1;
            off = l->v[i].place;
        }
    } while (r == 1 && l->out.len == 0);
    return r < 0 ? r : 0;
}

static int fill(struct listing *l, int64_t off)
{
    struct fuse_entry_param e = {.attr = {.st_mode = S_IFDIR, .st_ino = l->node->attr.ino}};

    buf_reserve(&l->out, l->size);
    if ((off < DOT && !add(l, ".", &e, DOT)) || (off < DOT_DOT && !add(l, "..", &e, DOT_DOT)))
        return 0;
    return add_children(l, off);
}

static void read_listing(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    struct listing l = {.fs = fs_of(req), .req = req, .plus = plus, .size = size, .out = BUF_INIT};
    char *dir;
    int r = ops_begin(l.fs, ino, NULL, &l.node, &dir);

    if (r == 0) {
        l.dir = dir;
        r = fill(&l, off);
        ops_end(l.fs, l.node, dir);
    }
    if (r < 0 && l.out.len == 0)
        fuse_reply_err(req, -r);
    else
        fuse_reply_buf(req, l.out.data, l.out.len);
    forget_children(&l);
    free(l.v);
    buf_release(&l.out);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    (void)fi;
    read_listing(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi)
{
    (void)fi;
    read_listing(req, ino, size, off, true);
}

/* --- fsyncdir: all changes of this mirror so far are on the master or safely queued --- */

struct sync {
    struct fs *fs;
    fuse_req_t req;
    struct deferred_reply *later;
};

static void synced(void *arg, int result)
{
    struct sync *s = arg;

    if (deferred_reply_claim(s->later))
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
        deferred_reply_wait(s->later, opid, synced, s);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct sync *s = xcalloc(1, sizeof(*s));

    (void)ino;
    (void)datasync;
    (void)fi;
    s->fs = fs_of(req);
    s->req = req;
    s->later = deferred_reply_new(s->fs, req, LATER_CUT);
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
