/* SPDX-License-Identifier: MIT */
#include "fs/content.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/draft.h"
#include "fs/notify.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"

#define FETCHES       3    /* of one version: it may be evicted between arrival and opening */
#define CHASE_MS      5000 /* how long the feed may be silent about what the master has replaced */
#define CHASE_STEP_MS 10

struct need {
    struct fs *fs;
    struct node *node; /* holds a reference */
    pool_fn *fn;
    void *arg;
    int fetches;      /* of the present version */
    int64_t deadline; /* for the next one to come; 0: not waiting for one. clock_mono_ms() */
};

bool content_here_locked(const struct node *n)
{
    return n->content || (n->draft && n->draft->file);
}

int content_open(struct fs *fs, struct node *n, int64_t verify_max)
{
    struct node_attr a;
    bool want;
    int fd;

    nodes_lock(fs->nodes);
    a = n->attr;
    want = n->opens > 0 && !content_here_locked(n) && !hash_is_none(&a.hash) && a.size > 0;
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

static void need_end(struct need *d, int result)
{
    node_unref(d->fs->nodes, d->node);
    d->fn(d->arg, result);
    free(d);
}

/* Gives the node its path's newest version. 1: done; 0: it has that; -errno: there is none. */
static int renew(struct fs *fs, struct node *n)
{
    struct node_attr now;
    int r = -EIO; /* removed here while it was open */
    char *path;

    fs_tree_read(fs);
    path = node_path(fs->nodes, n);
    if (path)
        r = replica_lookup(fs->replica, path, &now);
    if (r == 0 && now.type != NODE_FILE)
        r = now.type == NODE_DIR ? -EISDIR : -ENOENT;
    nodes_lock(fs->nodes);
    if (content_here_locked(n)) {
        r = 1;
    } else if (r == 0 && !hash_eq(&now.hash, &n->attr.hash)) {
        n->attr = now;
        if (n->draft) { /* its first copy is what we are asked for */
            n->draft->replaces = now.hash;
            n->draft->mtime = now.mtime;
            n->draft->ctime = now.ctime;
            n->draft->mode = now.mode;
        }
        node_show_locked(fs->nodes, n, false);
        r = 1;
    }
    nodes_unlock(fs->nodes);
    fs_tree_unlock(fs);
    free(path);
    return r;
}

static void need_job(void *arg, int error);

static void need_fetched(void *arg, int result)
{
    struct need *d = arg;

    pool_add(d->fs->pool, need_job, d, result);
}

static void chase(void *arg, int error)
{
    struct need *d = arg;
    struct fs *fs = d->fs;
    int64_t time = clock_mono_ms();
    int r = error ? error : renew(fs, d->node);

    if (r < 0) {
        need_end(d, r);
    } else if (r == 1) {
        notify_inode(fs, d->node->id, -1);
        notify_bytes(fs->notify, d->node->id);
        d->fetches = 0;
        d->deadline = 0;
        need_job(d, 0);
    } else {
        if (!d->deadline)
            d->deadline = time + CHASE_MS;
        if (time >= d->deadline)
            need_end(d, -EIO);
        else
            pool_add_later(fs->pool, CHASE_STEP_MS, chase, d);
    }
}

static void need_job(void *arg, int error)
{
    struct need *d = arg;
    struct fs *fs = d->fs;
    struct node_attr version;
    int r = error ? error : content_open(fs, d->node, INT64_MAX);

    if (error == -ESTALE) {
        chase(d, 0);
    } else if (r == -ENOENT && d->fetches++ < FETCHES) {
        nodes_lock(fs->nodes);
        version = d->node->attr;
        nodes_unlock(fs->nodes);
        mirror_fetch(fs->mirror, &version.hash, version.size, need_fetched, d);
    } else {
        need_end(d, r == -ENOENT ? -EIO : r);
    }
}

void content_need(struct fs *fs, struct node *n, pool_fn *fn, void *arg)
{
    struct need *d = xcalloc(1, sizeof(*d));

    d->fs = fs;
    d->node = n;
    d->fn = fn;
    d->arg = arg;
    nodes_lock(fs->nodes);
    node_ref_locked(n);
    nodes_unlock(fs->nodes);
    pool_add(fs->pool, need_job, d, 0);
}
