/* SPDX-License-Identifier: MIT */
#include "fs/file/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/file/draft.h"
#include "fs/file/notify.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"

#define FETCHES       3     /* of one version: it may be evicted between arrival and opening */
#define CHASE_MS      15000 /* how long the feed may take to report a replaced version */
#define CHASE_STEP_MS 10
#define ASK_AGAIN_MS  300

struct need {
    struct fs *fs;
    struct node *node; /* holds a reference */
    bool by_name;
    pool_fn *fn;
    void *arg;
    int fetches;      /* of the present version */
    struct hash held; /* not evicted between its arrival and our opening it; none */
    int64_t asked;    /* clock_mono_ms() */
    int64_t deadline; /* for the next one to come; 0: not waiting for one. clock_mono_ms() */
};

bool content_here_locked(const struct node *n)
{
    return n->content || (n->draft && n->draft->file);
}

int content_open(struct fs *fs, struct node *n, int64_t verify_max)
{
    struct store_stamp stamp;
    struct node_attr a;
    bool want;
    int fd;

    nodes_lock(fs->nodes);
    a = n->attr;
    want = n->opens > 0 && !content_here_locked(n) && !hash_is_none(&a.hash) && a.size > 0 &&
           !node_resume_locked(fs->nodes, n);
    nodes_unlock(fs->nodes);
    if (!want)
        return 0;
    fd = store_open_stamped(fs->store, &a.hash, a.size, verify_max, &stamp);
    if (fd < 0)
        return fd;
    nodes_lock(fs->nodes);
    if (!n->content && hash_eq(&a.hash, &n->attr.hash)) {
        node_set_content_locked(fs->nodes, n, fd, &stamp);
        fd = -1;
    }
    nodes_unlock(fs->nodes);
    if (fd >= 0)
        close(fd);
    return 0;
}

static void hold(struct need *d, const struct hash *h)
{
    if (!hash_is_none(&d->held))
        store_let_go(d->fs->store, &d->held);
    memset(&d->held, 0, sizeof(d->held));
    if (h && !hash_is_none(h)) {
        d->held = *h;
        store_hold(d->fs->store, h);
    }
}

static void need_end(struct need *d, int result)
{
    hold(d, NULL);
    node_unref(d->fs->nodes, d->node);
    d->fn(d->arg, result);
    free(d);
}

/* Gives the node its path's newest version; a node that was replaced on this mirror gets its
 * replacement. 1: done; 0: it has that; -ENOENT: the path is gone; -ESTALE: it is no file any more,
 * or the node has lost its name here; or, with `by_name`, it is another file. */
static int renew(struct fs *fs, struct node *n, bool by_name)
{
    struct node_attr now;
    int r = -ESTALE;
    char *path;

    fs_tree_read(fs);
    path = node_last_path(fs->nodes, n);
    if (path)
        r = replica_lookup(fs->replica, path, &now);
    if (r == 0 && now.type != NODE_FILE)
        r = -ESTALE;
    nodes_lock(fs->nodes);
    if (content_here_locked(n)) {
        r = 1;
    } else if (r == 0 && !hash_eq(&now.hash, &n->attr.hash) && by_name) {
        r = -ESTALE;
    } else if (r == 0 && !hash_eq(&now.hash, &n->attr.hash)) {
        n->shrunk |= now.size < n->attr.size;
        n->attr = now;
        n->renewed = true;
        if (n->draft) { /* the first copy of a draft needs this content */
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

/* Asks the master for the present version. */
static void ask(struct need *d)
{
    struct node_attr version;

    nodes_lock(d->fs->nodes);
    version = d->node->attr;
    nodes_unlock(d->fs->nodes);
    hold(d, &version.hash);
    d->asked = clock_mono_ms();
    mirror_fetch(d->fs->mirror, &version.hash, version.size, need_fetched, d);
}

/* The master lacks a content that the feed has reported: the feed is about to report a newer
 * version, or the file was being renamed and is back. */
static void chase(void *arg, int error)
{
    struct need *d = arg;
    struct fs *fs = d->fs;
    int64_t time = clock_mono_ms();
    int r = error ? error : renew(fs, d->node, d->by_name);

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
        else if (time - d->asked >= ASK_AGAIN_MS)
            ask(d);
        else
            pool_add_later(fs->pool, CHASE_STEP_MS, chase, d);
    }
}

static void need_job(void *arg, int error)
{
    struct need *d = arg;
    struct fs *fs = d->fs;
    int r = error ? error : content_open(fs, d->node, INT64_MAX);

    if (error == -ESTALE) {
        chase(d, 0);
    } else if (r == -ENOENT && d->fetches++ < FETCHES) {
        ask(d);
    } else {
        need_end(d, r == -ENOENT ? -EIO : r);
    }
}

void content_need(struct fs *fs, struct node *n, bool by_name, pool_fn *fn, void *arg)
{
    struct need *d = xcalloc(1, sizeof(*d));

    d->fs = fs;
    d->node = n;
    d->by_name = by_name;
    d->fn = fn;
    d->arg = arg;
    nodes_lock(fs->nodes);
    node_ref_locked(n);
    nodes_unlock(fs->nodes);
    pool_add(fs->pool, need_job, d, 0);
}
