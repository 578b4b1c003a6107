/* SPDX-License-Identifier: MIT */
/*
 * For a path whose view may have changed:
 *
 *   the kernel's node has        the view is now              then
 *   the same version             the same                     inval_inode, attributes only
 *   a draft                      anything                     nothing: the draft is what is seen
 *   another version              a file, a folder, a link     superseded; inval_entry
 *   (any)                        gone                         superseded; inval_entry, listing
 *   no node                      anything                     inval_entry, listing
 *
 * (without a node the kernel may still have "not found" in its cache).
 *
 * A lookup may be faster than this thread and find the new entry while the listing that the kernel
 * read before lacks it. So a node that came by a lookup counts as one of another version until its
 * folder's listing was invalidated once (`listed`).
 *
 * inval_entry takes the folder's lock, so it returns only after the kernel has processed every
 * LOOKUP and READDIR in that folder that began earlier; those that begin later see the new view. So
 * the folder's listing is invalidated after its entries, and once per run of them.
 *
 * inval_entry unhashes the entry, so a shell in that folder has no working folder until somebody
 * looks the name up. What the kernel looked up under its present name it has right: only the
 * folder's lock is waited for then, with a name that no entry has.
 */
#include "fs/file/notify.h"

#include <stdlib.h>
#include <string.h>

#include "fs/file/fs.h"
#include "fs/file/node.h"
#include "sync/common/buf.h"
#include "sync/common/opt.h"
#include "sync/common/path.h"
#include "sync/common/worker.h"

#define NO_NAME "." /* the kernel never has an entry of this name */

/* What the own thread has to do. */
struct todo {
    struct strlist look, forget; /* paths */
    fuse_ino_t *bytes;
    size_t n_bytes;
};

struct notify {
    struct fs *fs;
    struct worker worker;
    struct todo queue; /* guarded by its lock */
};

/* The notifications about one path; ids are 0 where none is needed. */
struct verdict {
    fuse_ino_t attr_of;  /* node of which only attributes changed */
    fuse_ino_t entry_in; /* folder whose entry is invalid */
    bool listing;        /* and its listing */
    bool only_wait;      /* the entry is right; requests in that folder may still be under way */
};

static struct verdict judge(struct fs *fs, const char *path)
{
    struct verdict v = {0, 0, false, false};
    struct node_attr now;
    struct node *n, *parent;
    char *dir;
    bool same;
    int r;

    /* During a rename the replica has the new name and the table does not yet. */
    fs_tree_read(fs);
    r = replica_lookup(fs->replica, path, &now);
    nodes_lock(fs->nodes);
    n = node_find_locked(fs->nodes, path);
    if (n && n->draft && n->listed)
        goto out;
    /* Programs see the draft, also where the master gave it this name. */
    same = n && (!*path || n->draft || (r == 0 && node_same_version(&n->attr, &now)));
    if (same) {
        if (r == 0 && !n->draft)
            n->attr = now;
        v.attr_of = n->id;
        if (!*path || n->listed)
            goto out;
    }
    dir = path_parent(path);
    parent = node_find_locked(fs->nodes, dir);
    free(dir);
    if (!parent || parent->attr.type != NODE_DIR)
        goto out;
    v.entry_in = parent->id;
    v.listing = !n || !n->listed || r != 0 || n->attr.type != now.type || n->attr.ino != now.ino;
    v.only_wait = same && n->asked;
    if (same)
        n->listed = true;
    else if (n)
        node_supersede_locked(fs->nodes, n);
out:
    nodes_unlock(fs->nodes);
    fs_tree_unlock(fs);
    return v;
}

static bool device_take(struct fs *fs)
{
    if (pthread_rwlock_rdlock(&fs->device) != 0)
        abort();
    if (atomic_load(&fs->live))
        return true;
    pthread_rwlock_unlock(&fs->device);
    return false;
}

void notify_inode(struct fs *fs, uint64_t ino, off_t off)
{
    if (!device_take(fs))
        return;
    fuse_lowlevel_notify_inval_inode(fs->se, ino, off, 0);
    pthread_rwlock_unlock(&fs->device);
}

void notify_entry(struct fs *fs, uint64_t dir, const char *name)
{
    if (!device_take(fs))
        return;
    fuse_lowlevel_notify_inval_entry(fs->se, dir, name, strlen(name));
    pthread_rwlock_unlock(&fs->device);
}

bool notify_store(struct fs *fs, uint64_t ino, const void *data, size_t len, off_t off)
{
    struct fuse_bufvec v = FUSE_BUFVEC_INIT(len);
    char *copy = xmalloc(len); /* a bufvec's memory is not const */
    bool done = false;

    memcpy(copy, data, len);
    v.buf[0].mem = copy;
    if (device_take(fs)) {
        done = fuse_lowlevel_notify_store(fs->se, ino, off, &v, 0) == 0;
        pthread_rwlock_unlock(&fs->device);
    }
    free(copy);
    return done;
}

static void listing_changed(struct fs *fs, fuse_ino_t dir)
{
    if (dir)
        notify_inode(fs, dir, 0);
}

struct ids {
    fuse_ino_t *v;
    size_t n, cap;
};

struct all {
    struct ids ids;
    struct strlist paths;
};

static void add_node(void *arg, struct node *n)
{
    struct all *all = arg;
    struct ids *ids = &all->ids;
    char *path = node_path_locked(n);

    if (ids->n == ids->cap) {
        ids->cap = ids->cap ? 2 * ids->cap : 1024;
        ids->v = xrealloc(ids->v, ids->cap * sizeof(*ids->v));
    }
    ids->v[ids->n++] = n->id;
    if (path)
        strlist_add(&all->paths, path);
    free(path);
}

static void tell_paths(struct fs *fs, const char *const *paths, size_t n)
{
    fuse_ino_t listing = 0;

    for (size_t i = 0; i < n; i++) {
        struct verdict v = judge(fs, paths[i]);

        if (v.attr_of)
            notify_inode(fs, v.attr_of, -1);
        if (!v.entry_in)
            continue;
        if (listing != v.entry_in) {
            listing_changed(fs, listing);
            listing = 0;
        }
        notify_entry(fs, v.entry_in, v.only_wait ? NO_NAME : path_base(paths[i]));
        if (v.listing)
            listing = v.entry_in;
    }
    listing_changed(fs, listing);
}

/* The kernel drops all attributes, and all nodes that are outdated or gone. */
static void all_changed(struct fs *fs)
{
    struct all all = {{NULL, 0, 0}, {NULL, 0}};

    nodes_lock(fs->nodes);
    nodes_each_locked(fs->nodes, add_node, &all);
    nodes_unlock(fs->nodes);
    for (size_t i = 0; i < all.ids.n; i++)
        notify_inode(fs, all.ids.v[i], -1);
    tell_paths(fs, (const char *const *)all.paths.v, all.paths.n);
    strlist_release(&all.paths);
    free(all.ids.v);
}

void notify_changed(void *arg, const char *const *paths, size_t n)
{
    struct fs *fs = arg;

    atomic_fetch_add(&fs->changes, 1);
    if (!atomic_load(&fs->live))
        return;
    if (n == 0)
        all_changed(fs);
    tell_paths(fs, paths, n);
}

static void forget_name(struct fs *fs, const char *path)
{
    char *dir = path_parent(path);
    struct node *parent;
    fuse_ino_t id;

    nodes_lock(fs->nodes);
    parent = node_find_locked(fs->nodes, dir);
    id = parent && parent->attr.type == NODE_DIR ? parent->id : 0;
    nodes_unlock(fs->nodes);
    free(dir);
    if (id)
        notify_entry(fs, id, path_base(path));
}

static void todo_release(struct todo *t)
{
    strlist_release(&t->look);
    strlist_release(&t->forget);
    free(t->bytes);
}

static void *work(void *arg)
{
    struct notify *n = arg;

    worker_lock(&n->worker);
    while (!worker_stopping_locked(&n->worker)) {
        struct todo todo = n->queue;

        if (todo.look.n == 0 && todo.forget.n == 0 && todo.n_bytes == 0) {
            worker_wait_locked(&n->worker, WORKER_NEVER);
            continue;
        }
        n->queue = (struct todo){0};
        worker_unlock(&n->worker);
        for (size_t i = 0; i < todo.forget.n; i++)
            forget_name(n->fs, todo.forget.v[i]);
        if (todo.look.n > 0)
            notify_changed(n->fs, (const char *const *)todo.look.v, todo.look.n);
        for (size_t i = 0; i < todo.n_bytes; i++)
            notify_inode(n->fs, todo.bytes[i], 0);
        todo_release(&todo);
        worker_lock(&n->worker);
    }
    worker_unlock(&n->worker);
    return NULL;
}

int notify_new(struct fs *fs, struct notify **ret)
{
    struct notify *n = xcalloc(1, sizeof(*n));
    int r;

    n->fs = fs;
    worker_init(&n->worker);
    r = worker_start(&n->worker, "fs-notify", work, n);
    if (r < 0) {
        notify_free(n);
        return r;
    }
    *ret = n;
    return 0;
}

void notify_free(struct notify *n)
{
    if (!n)
        return;
    worker_stop(&n->worker);
    todo_release(&n->queue);
    worker_release(&n->worker);
    free(n);
}

void notify_path(struct notify *n, const char *path)
{
    worker_lock(&n->worker);
    strlist_add(&n->queue.look, path);
    worker_wake_locked(&n->worker);
    worker_unlock(&n->worker);
}

void notify_forget(struct notify *n, const char *path)
{
    worker_lock(&n->worker);
    strlist_add(&n->queue.forget, path);
    worker_wake_locked(&n->worker);
    worker_unlock(&n->worker);
}

void notify_bytes(struct notify *n, uint64_t ino)
{
    worker_lock(&n->worker);
    n->queue.bytes = xrealloc(n->queue.bytes, (n->queue.n_bytes + 1) * sizeof(fuse_ino_t));
    n->queue.bytes[n->queue.n_bytes++] = ino;
    worker_wake_locked(&n->worker);
    worker_unlock(&n->worker);
}
