/* SPDX-License-Identifier: MIT */
/*
 * The life of a draft:
 *
 *            first write                copied                 close, fsync
 *   (none) --------------> busy, no file --------> staged -----------------> busy
 *     ^                                          ^   |  written: dirty         | hashed, renamed
 * into |                                          |   +--> itself               | objects, logged
 *     |   last writer closed            copied   |      next write             v
 *     +------------------------------------------+------------------------- sealed
 *
 * A sealed draft's file is an object, which never changes: the next write makes a new copy first.
 * While a draft is busy its writers queue up as jobs, so no thread that serves the kernel waits.
 */
#include "fs/file/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/file/content.h"
#include "fs/file/handle.h"
#include "fs/file/notify.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"

#define COPY_INLINE (8 << 20) /* bytes that a request's own thread may copy */

struct draft_job {
    struct draft_job *next;
    pool_fn *fn;
    void *arg;
};

struct prepare {
    struct fs *fs;
    struct node *node; /* holds a reference */
    struct file *from; /* what to copy; NULL: the object `version`, or nothing when it is none */
    struct node_attr version;
};

static struct draft *draft_new_locked(struct node *n)
{
    struct draft *d = xcalloc(1, sizeof(*d));

    d->replaces = n->attr.hash;
    d->mtime = n->attr.mtime;
    d->ctime = n->attr.ctime;
    d->mode = n->attr.mode;
    d->waiting_end = &d->waiting;
    n->draft = d;
    return d;
}

/* Copies into a new staging file, with one retry after making room. fd or -errno. */
static int stage_copy(struct fs *fs, int from, int64_t size, char **name)
{
    for (int attempt = 0;; attempt++) {
        int fd = store_stage(fs->store, name), r = 0;

        if (fd < 0)
            return fd;
        if (from >= 0)
            r = file_copy(from, fd);
        if (r >= 0)
            return fd;
        close(fd);
        store_discard(fs->store, *name);
        free(*name);
        *name = NULL;
        if (r != -ENOSPC || attempt > 0)
            return r;
        store_make_room(fs->store, size);
    }
}

/* Makes the copy; -ENOENT: the object must be fetched first; -EAGAIN: too large for this thread. */
static int prepare_run(struct prepare *p, int64_t verify_max, bool inline_only)
{
    struct fs *fs = p->fs;
    int from = -1, own = -1, fd = 0;
    char *name = NULL;
    struct stat st;

    if (p->from) {
        from = p->from->fd;
    } else if (!hash_is_none(&p->version.hash) && p->version.size > 0) {
        own = store_open(fs->store, &p->version.hash, p->version.size, verify_max);
        if (own < 0)
            return own;
        from = own;
    }
    if (inline_only && from >= 0 && fstat(from, &st) == 0 && st.st_size > COPY_INLINE)
        fd = -EAGAIN;
    if (fd == 0)
        fd = stage_copy(fs, from, p->version.size, &name);
    if (own >= 0)
        close(own);
    if (fd < 0)
        return fd;
    nodes_lock(fs->nodes);
    file_unref_locked(p->node->draft->file);
    p->node->draft->file = file_new(fd);
    p->node->draft->stage = name;
    nodes_unlock(fs->nodes);
    return 0;
}

static void prepare_end(struct prepare *p, int result)
{
    struct fs *fs = p->fs;

    nodes_lock(fs->nodes);
    draft_unbusy_locked(fs, p->node, result);
    file_unref_locked(p->from);
    node_unref_locked(fs->nodes, p->node);
    nodes_unlock(fs->nodes);
    free(p);
}

/* The content is here and open; it may be a later version than the requested one. */
static void prepare_job(void *arg, int error)
{
    struct prepare *p = arg;

    nodes_lock(p->fs->nodes);
    p->version = p->node->attr;
    if (!p->from && p->node->content)
        p->from = file_ref_locked(p->node->content);
    nodes_unlock(p->fs->nodes);
    prepare_end(p, error ? error : prepare_run(p, INT64_MAX, false));
}

/* Begins a draft; *shown: the node that the kernel must forget, because this one was superseded. */
static struct draft *begin_locked(struct fs *fs, struct node *n, char **shown)
{
    struct draft *d = draft_new_locked(n);

    if (node_show_locked(fs->nodes, n, true))
        *shown = node_path_locked(n);
    return d;
}

void draft_catch_up(struct fs *fs, struct node *n)
{
    struct node_attr now;
    char *path;

    fs_tree_read(fs);
    path = node_path(fs->nodes, n);
    if (path && replica_lookup(fs->replica, path, &now) == 0 && now.type == NODE_FILE) {
        nodes_lock(fs->nodes);
        if (!n->attached && !n->draft)
            n->attr = now;
        nodes_unlock(fs->nodes);
    }
    fs_tree_unlock(fs);
    free(path);
}

int draft_try(struct fs *fs, struct node *n, bool zero)
{
    struct prepare *p;
    struct draft *d;
    char *shown = NULL;
    int r;

    nodes_lock(fs->nodes);
    d = n->draft;
    if (d && d->busy) {
        nodes_unlock(fs->nodes);
        return -EAGAIN;
    }
    if (d && d->stage) {
        d->writing++;
        nodes_unlock(fs->nodes);
        return 1;
    }
    if (!d)
        d = begin_locked(fs, n, &shown);
    d->busy = true;
    p = xcalloc(1, sizeof(*p));
    p->fs = fs;
    p->node = n;
    node_ref_locked(n);
    if (!zero) {
        p->version = n->attr;
        if (d->file)
            p->from = file_ref_locked(d->file);
        else if (n->content)
            p->from = file_ref_locked(n->content);
    }
    nodes_unlock(fs->nodes);
    if (shown) {
        notify_forget(fs->notify, shown);
        notify_bytes(fs->notify, n->id);
    }
    free(shown);

    r = prepare_run(p, FS_VERIFY_MAX, true);
    if (r == -ENOENT || r == -EAGAIN) {
        content_need(fs, n, false, prepare_job, p);
        return -EAGAIN;
    }
    if (r < 0) {
        prepare_end(p, r);
        return r;
    }
    nodes_lock(fs->nodes); /* before anybody else may publish or settle it */
    n->draft->writing++;
    nodes_unlock(fs->nodes);
    prepare_end(p, 0);
    return 1;
}

void draft_queue(struct fs *fs, struct node *n, pool_fn *fn, void *arg)
{
    struct draft_job *j;

    nodes_lock(fs->nodes);
    if (!n->draft || !n->draft->busy) {
        nodes_unlock(fs->nodes);
        pool_add(fs->pool, fn, arg, 0);
        return;
    }
    j = xcalloc(1, sizeof(*j));
    j->fn = fn;
    j->arg = arg;
    *n->draft->waiting_end = j;
    n->draft->waiting_end = &j->next;
    nodes_unlock(fs->nodes);
}

void draft_changed_locked(struct draft *d, int64_t ctime)
{
    if (ctime == 0)
        ctime = clock_wall_ns();
    d->ctime = ctime > d->ctime ? ctime : d->ctime + 1;
}

void draft_done(struct fs *fs, struct node *n, struct handle *h, bool emptied, int result)
{
    nodes_lock(fs->nodes);
    n->draft->writing--;
    if (result >= 0) {
        n->draft->dirty = true;
        draft_changed_locked(n->draft, 0);
        n->draft->mtime = n->draft->ctime;
        n->draft->mode &=
            ~(uint32_t)(S_ISUID | S_ISGID); /* the writer is not the one who set those bits */
        if (h)
            h->wrote = h->ever = true;
        if (h && emptied)
            n->draft->rewriter = h;
    }
    nodes_wake(fs->nodes);
    nodes_unlock(fs->nodes);
}

bool draft_flush(struct fs *fs, struct handle *h, bool fsync, int64_t *opid)
{
    struct node *n = h->node;
    struct draft *d;
    bool publish;

    nodes_lock(fs->nodes);
    d = n->draft;
    publish = draft_unpublished_locked(n) && n->parent && (h->wrote || fsync || d->busy) &&
              (!d->rewriter || d->rewriter == h);
    if (d && d->rewriter == h)
        d->rewriter = NULL;
    h->wrote = false;
    *opid = h->ever || fsync ? n->opid : 0;
    nodes_unlock(fs->nodes);
    return publish;
}

void draft_leave_locked(struct node *n, const struct handle *h)
{
    if (n->draft && n->draft->rewriter == h)
        n->draft->rewriter = NULL;
}

int draft_create(struct fs *fs, struct node *n)
{
    int r = draft_try(fs, n, true);

    if (r == 1) {
        draft_done(fs, n, NULL, false, 0);
        r = 0;
    }
    return r;
}

static int staging_fd(struct fs *fs, struct node *n)
{
    int fd;

    nodes_lock(fs->nodes);
    fd = n->draft->file->fd; /* stays while draft.writing counts us */
    nodes_unlock(fs->nodes);
    return fd;
}

int draft_write(struct fs *fs, struct node *n, const void *data, size_t len, off_t at)
{
    int fd = staging_fd(fs, n), r;
    struct stat st;

    if (at == DRAFT_END) {
        if (fstat(fd, &st) < 0)
            return -errno;
        at = st.st_size;
    }
    r = file_pwrite(fd, data, len, at);
    if (r == -ENOSPC) {
        store_make_room(fs->store, (int64_t)len);
        r = file_pwrite(fd, data, len, at);
    }
    return r;
}

int draft_truncate(struct fs *fs, struct node *n, off_t size)
{
    return ftruncate(staging_fd(fs, n), size) < 0 ? -errno : 0;
}

int draft_allocate(struct fs *fs, struct node *n, int mode, off_t off, off_t len)
{
    int fd = staging_fd(fs, n), r = fallocate(fd, mode, off, len) < 0 ? -errno : 0;

    if (r == -ENOSPC) {
        store_make_room(fs->store, len);
        r = fallocate(fd, mode, off, len) < 0 ? -errno : 0;
    }
    return r;
}

void draft_attr_locked(const struct node *n, struct node_attr *a)
{
    struct stat st;

    if (!n->draft)
        return;
    if (n->draft->file && fstat(n->draft->file->fd, &st) == 0) {
        a->size = st.st_size;
        a->blocks = st.st_blocks;
    }
    a->mtime = n->draft->mtime;
    a->ctime = n->draft->ctime;
    a->mode = n->draft->mode;
}

bool draft_unpublished_locked(const struct node *n)
{
    return n->draft && (n->draft->dirty || n->draft->busy);
}

static void draft_free_locked(struct fs *fs, struct node *n)
{
    struct draft *d = n->draft;

    n->draft = NULL;
    if (d->stage)
        store_discard(fs->store, d->stage);
    if (!hash_is_none(&d->held))
        store_let_go(fs->store, &d->held);
    if (d->mark)
        store_discard(fs->store, d->mark);
    free(d->mark);
    free(d->stage);
    file_unref_locked(d->file);
    free(d);
}

void draft_unbusy_locked(struct fs *fs, struct node *n, int error)
{
    struct draft *d = n->draft;
    struct draft_job *j = d->waiting;

    d->busy = false;
    d->waiting = NULL;
    d->waiting_end = &d->waiting;
    while (j) {
        struct draft_job *next = j->next;
        pool_add(fs->pool, j->fn, j->arg, error);
        free(j);
        j = next;
    }
    if (!d->file) /* the first copy failed: nothing was written */
        draft_free_locked(fs, n);
    nodes_wake(fs->nodes);
}

bool draft_settle_locked(struct fs *fs, struct node *n)
{
    struct draft *d = n->draft;
    bool unlinked = !n->parent;

    if (!d || d->busy || d->writing || n->writers > 0 || (d->dirty && !unlinked))
        return false;
    if (n->opens > 0 && (!d->stage || unlinked)) {
        file_unref_locked(n->content);
        n->content = file_ref_locked(d->file);
    }
    n->attr.mtime = d->mtime;
    n->attr.ctime = d->ctime;
    n->attr.mode = d->mode;
    draft_free_locked(fs, n);
    return true;
}

struct file *draft_file_locked(struct node *n)
{
    if (n->draft && n->draft->file)
        return file_ref_locked(n->draft->file);
    return n->content ? file_ref_locked(n->content) : NULL;
}
