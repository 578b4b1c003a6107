/* SPDX-License-Identifier: MIT */
/*
 * entry: requests about names. A handler that makes or removes a name asks the replica first and
 * changes the node table afterwards, both under the tree lock, so that a path cannot become another
 * file's in between.
 */
#include "fs/ops/ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file/draft.h"
#include "fs/file/deferred_reply.h"
#include "fs/file/pool.h"
#include "sync/common/buf.h"
#include "sync/common/path.h"

#define RMDIR_MS                                                                                   \
    1000 /* limit for holding the kernel's lock of a folder while waiting for the master's answer */

static void reply_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
    if (fuse_reply_entry(req, e) == -ENOENT) /* interrupted: the kernel did not take it */
        node_forget(fs_of(req)->nodes, e->ino, 1);
}

static void op_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    struct fs *fs = fs_of(req);
    struct fuse_entry_param e = {.entry_timeout =
                                     atomic_load(&fs->forgetful) ? FS_TIMEOUT : FS_NOT_FOUND};
    struct node_attr a;
    struct node *parent;
    char *path;
    int r = ops_begin(fs, dir, name, &parent, &path);

    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    if (strcmp(path, FS_PROBE) == 0)
        atomic_fetch_add(&fs->probes, 1);
    r = replica_lookup(fs->replica, path, &a);
    if (r == 0)
        ops_enter(fs, parent, name, path, &a, false, &e);
    else if (r == -ENOENT && ops_enter_draft(fs, parent, name, path, &e))
        r = 0;
    ops_end(fs, parent, path);
    if (r == 0)
        reply_entry(req, &e);
    else if (r == -ENOENT)
        fuse_reply_entry(req, &e); /* ino 0: "not found" is cached too */
    else
        fuse_reply_err(req, -r);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    node_forget(fs_of(req)->nodes, ino, count);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *v)
{
    for (size_t i = 0; i < count; i++)
        node_forget(fs_of(req)->nodes, v[i].ino, v[i].nlookup);
    fuse_reply_none(req);
}

/* The common end of the requests that make a new name: `r` and `a` are the replica's answer. */
static void made(fuse_req_t req, struct node *parent, const char *name, char *path, int r,
                 const struct node_attr *a, int64_t opid)
{
    struct fs *fs = fs_of(req);
    struct fuse_entry_param e;

    if (r == 0)
        ops_enter(fs, parent, name, path, a, true, &e);
    ops_end(fs, parent, path);
    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    fs_changed(fs, opid);
    reply_entry(req, &e);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
    struct fs *fs = fs_of(req);
    mode_t mask = fuse_req_ctx(req)->umask;
    struct node_attr a;
    struct node *parent;
    int64_t opid = 0;
    bool tried = false;
    char *path;
    int r = ops_begin(fs, dir, name, &parent, &path);

    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    do {
        r = replica_mkdir_masked(fs->replica, path, mode & 07777 & ~mask, mode & mask, &a, &opid);
    } while (fs_room(fs, r, &tried));
    made(req, parent, name, path, r, &a, opid);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name)
{
    struct fs *fs = fs_of(req);
    struct node_attr a;
    struct node *parent;
    int64_t opid = 0;
    bool tried = false;
    char *path;
    int r = ops_begin(fs, dir, name, &parent, &path);

    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    do {
        r = replica_symlink(fs->replica, path, target, &a, &opid);
    } while (fs_room(fs, r, &tried));
    made(req, parent, name, path, r, &a, opid);
}

static void op_refused(fuse_req_t req, fuse_ino_t a, fuse_ino_t b, const char *name)
{
    (void)a;
    (void)b;
    (void)name;
    fuse_reply_err(req, EPERM); /* no hard links */
}

/* The draft at `path`: its users see that, and not the versions that the feed brings meanwhile. */
struct written {
    bool yes;
    struct hash seen; /* the version it began from; none: a new file */
    uint32_t mode;
};

static struct written written_at(struct fs *fs, struct node *parent, const char *name)
{
    struct written w = {0};
    struct node *n;

    nodes_lock(fs->nodes);
    n = node_child_locked(fs->nodes, parent, name);
    if (n && n->draft) {
        w.yes = true;
        w.seen = n->draft->replaces;
        w.mode = n->draft->mode;
    }
    nodes_unlock(fs->nodes);
    return w;
}

static void unlink_node(struct fs *fs, struct node *parent, const char *name)
{
    struct node *n;

    nodes_lock(fs->nodes);
    n = node_child_locked(fs->nodes, parent, name);
    if (n)
        node_unlink_locked(fs->nodes, n);
    nodes_unlock(fs->nodes);
}

static void op_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    struct fs *fs = fs_of(req);
    struct node *parent;
    struct written w;
    int64_t opid = 0;
    bool tried = false;
    char *path;
    int r = ops_begin_write(fs, dir, name, &parent, &path);

    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    w = written_at(fs, parent, name);
    do {
        r = replica_unlink(fs->replica, path, &w.seen, &opid);
    } while (fs_room(fs, r, &tried));
    if (r == -ENOENT && w.yes) /* the master removed it, too */
        r = 0;
    if (r == 0)
        unlink_node(fs, parent, name);
    ops_end(fs, parent, path);
    if (r == 0)
        fs_changed(fs, opid);
    fuse_reply_err(req, -r);
}

/*
 * RMDIR of a folder that looks empty here: on the master it may hold excluded files. Only the
 * master knows, so the request waits for its answer, though not for long: the kernel holds the
 * parent folder's lock.
 */
struct removal {
    struct fs *fs;
    fuse_req_t req;
    struct deferred_reply *later;
    struct node *parent; /* holds a reference */
    char *name;
};

static void removed_job(void *arg, int error)
{
    struct removal *d = arg;
    struct fs *fs = d->fs;
    struct node_attr a;
    char *dir, *path;
    bool back = false;

    (void)error; /* queued is removed */
    fs_tree_write(fs);
    dir = node_path(fs->nodes, d->parent);
    if (dir) {
        path = path_join(dir, d->name);
        back = replica_lookup(fs->replica, path, &a) == 0 && a.type == NODE_DIR;
        free(path);
    }
    if (!back)
        unlink_node(fs, d->parent, d->name);
    fs_tree_unlock(fs);
    free(dir);
    if (deferred_reply_claim(d->later))
        fuse_reply_err(d->req, back ? ENOTEMPTY : 0);
    node_unref(fs->nodes, d->parent);
    free(d->name);
    free(d);
}

static void removed(void *arg, int result)
{
    struct removal *d = arg;

    pool_add(d->fs->pool, removed_job, d, result);
}

static void wait_removed(fuse_req_t req, struct node *parent, const char *name, int64_t opid)
{
    struct fs *fs = fs_of(req);
    struct removal *d = xcalloc(1, sizeof(*d));

    d->fs = fs;
    d->req = req;
    d->parent = parent;
    d->name = xstrdup(name);
    d->later = deferred_reply_new(fs, req, LATER_CUT);
    deferred_reply_limit(d->later, RMDIR_MS);
    deferred_reply_wait(d->later, opid, removed, d);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
    struct fs *fs = fs_of(req);
    struct node *parent;
    int64_t opid = 0;
    bool tried = false, wait;
    char *path;
    int r = ops_begin_write(fs, dir, name, &parent, &path);

    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    do {
        r = replica_rmdir(fs->replica, path, &opid);
    } while (fs_room(fs, r, &tried));
    wait = r == 0 && opid > 0 && replica_excludes(fs->replica) && mirror_in_contact(fs->mirror);
    if (r == 0 && !wait)
        unlink_node(fs, parent, name);
    if (wait) {
        nodes_lock(fs->nodes);
        node_ref_locked(parent);
        nodes_unlock(fs->nodes);
    }
    if (r == 0)
        fs_changed(fs, opid);
    if (wait)
        wait_removed(req, parent, name, opid);
    ops_end(fs, parent, path);
    if (!wait)
        fuse_reply_err(req, -r);
}

/* The replica has it under its new name, `to_path`, already. */
static void move_node(struct fs *fs, struct node *parent, const char *name, fuse_ino_t to_dir,
                      const char *to_name, const char *to_path)
{
    struct node_attr now = {0};
    struct node *n, *to, *there;

    if (replica_lookup(fs->replica, to_path, &now) < 0)
        now.ctime = 0;
    nodes_lock(fs->nodes);
    n = node_child_locked(fs->nodes, parent, name);
    to = node_get_locked(fs->nodes, to_dir);
    there = to ? node_child_locked(fs->nodes, to, to_name) : NULL;
    if (n && n->draft)
        draft_changed_locked(n->draft, now.ctime);
    if (n && to)
        node_move_locked(fs->nodes, n, to, to_name);
    else if (there)
        node_unlink_locked(fs->nodes, there);
    nodes_unlock(fs->nodes);
}

/* A file that is being written here and that the master removed is created again, to be renamed. */
static int revive(struct fs *fs, struct node *parent, const char *name, const char *path)
{
    struct written w = written_at(fs, parent, name);
    struct node_attr a;
    int r = w.yes ? replica_lookup(fs->replica, path, &a) : 0;

    return r == -ENOENT ? replica_create(fs->replica, path, w.mode, &a) : r;
}

static void op_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t to_dir,
                      const char *to_name, unsigned flags)
{
    struct fs *fs = fs_of(req);
    struct node *parent, *to;
    struct written over = {0};
    char *path, *to_parent = NULL, *to_path = NULL;
    int64_t opid = 0;
    bool tried = false;
    int r = flags & ~(unsigned)RENAME_NOREPLACE ? -EINVAL : 0;

    if (r == 0)
        r = ops_begin_write(fs, dir, name, &parent, &path);
    if (r < 0) {
        fuse_reply_err(req, -r);
        return;
    }
    to = node_get(fs->nodes, to_dir);
    to_parent = to ? node_path(fs->nodes, to) : NULL;
    if (!to_parent) {
        r = -ENOENT;
    } else {
        to_path = path_join(to_parent, to_name);
        r = strlen(to_name) > EEFS_NAME_MAX || strlen(to_path) > EEFS_PATH_MAX ? -ENAMETOOLONG : 0;
        over = written_at(fs, to, to_name);
    }
    do {
        if (r == 0 || tried)
            r = revive(fs, parent, name, path);
        if (r == 0)
            r = replica_rename(fs->replica, path, to_path, flags & RENAME_NOREPLACE, &over.seen,
                               &opid);
    } while (fs_room(fs, r, &tried));
    if (r == 0)
        move_node(fs, parent, name, to_dir, to_name, to_path);
    node_unref(fs->nodes, to);
    ops_end(fs, parent, path);
    free(to_parent);
    free(to_path);
    if (r == 0)
        fs_changed(fs, opid);
    fuse_reply_err(req, -r);
}

/* A link that was replaced or removed since its lookup returns its old target, as a local one. */
static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fs_of(req);
    struct node *n;
    char *path, *target = NULL;
    int r = 0;

    nodes_lock(fs->nodes);
    n = node_get_locked(fs->nodes, ino);
    if (n && n->target)
        target = xstrdup(n->target);
    nodes_unlock(fs->nodes);
    if (!target)
        r = ops_begin(fs, ino, NULL, &n, &path);
    if (r == 0 && !target) {
        r = replica_readlink(fs->replica, path, &target);
        ops_end(fs, n, path);
    }
    if (r == -ENOENT || r == -EINVAL)
        r = -ESTALE; /* the kernel looks the name up again */
    if (r == 0)
        fuse_reply_readlink(req, target);
    else
        fuse_reply_err(req, -r);
    free(target);
}

void ops_entry(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = op_lookup;
    ops->forget = op_forget;
    ops->forget_multi = op_forget_multi;
    ops->mkdir = op_mkdir;
    ops->symlink = op_symlink;
    ops->link = op_refused;
    ops->unlink = op_unlink;
    ops->rmdir = op_rmdir;
    ops->rename = op_rename;
    ops->readlink = op_readlink;
}
