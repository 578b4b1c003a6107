/* SPDX-License-Identifier: MIT */
#include "fs/file/deferred_reply.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/file/pool.h"
#include "sync/common/buf.h"
#include "sync/common/thread.h"

struct deferred_reply {
    struct fs *fs;
    fuse_req_t req;
    enum later_kind kind;
    pthread_mutex_t lock;
    bool answered, cut; /* guarded by lock, as all below */
    uint64_t ticket;
    bool waiting;
    unsigned refs;
};

static void unref(struct deferred_reply *l)
{
    bool last;

    mutex_lock(&l->lock);
    last = --l->refs == 0;
    mutex_unlock(&l->lock);
    if (!last)
        return;
    mutex_destroy(&l->lock);
    free(l);
}

/* Called by libfuse with the request's own lock held, so never beside deferred_reply_claim's
 * reset. */
static void interrupted(fuse_req_t req, void *arg)
{
    struct deferred_reply *l = arg;
    bool answer = false, cut = false;
    uint64_t ticket;

    mutex_lock(&l->lock);
    if (l->kind == LATER_CUT) {
        l->cut = true;
        cut = l->waiting;
    } else if (!l->answered) {
        l->answered = true;
        answer = true;
    }
    ticket = l->ticket;
    mutex_unlock(&l->lock);
    if (cut)
        mirror_wait_cut(l->fs->mirror, ticket);
    if (answer)
        fuse_reply_err(req, EINTR);
}

struct deferred_reply *deferred_reply_new(struct fs *fs, fuse_req_t req, enum later_kind kind)
{
    struct deferred_reply *l = xcalloc(1, sizeof(*l));

    l->fs = fs;
    l->req = req;
    l->kind = kind;
    l->refs = 1;
    mutex_init(&l->lock);
    fuse_req_interrupt_func(req, interrupted, l);
    return l;
}

bool deferred_reply_claim(struct deferred_reply *l)
{
    bool mine;

    mutex_lock(&l->lock);
    mine = !l->answered;
    l->answered = true;
    mutex_unlock(&l->lock);
    if (mine) /* waits for interrupted(), which finds that it is too late */
        fuse_req_interrupt_func(l->req, NULL, NULL);
    unref(l);
    return mine;
}

void deferred_reply_wait(struct deferred_reply *l, int64_t opid, mirror_done_fn *done, void *arg)
{
    struct fs *fs = l->fs;
    uint64_t ticket;
    bool cut;

    mutex_lock(&l->lock);
    l->refs++;
    mutex_unlock(&l->lock);
    ticket = mirror_wait(fs->mirror, opid, done, arg);
    mutex_lock(&l->lock);
    l->ticket = ticket;
    l->waiting = true;
    cut = l->cut;
    mutex_unlock(&l->lock);
    if (cut)
        mirror_wait_cut(fs->mirror, ticket);
    unref(l);
}

static void over(void *arg, int error)
{
    struct deferred_reply *l = arg;
    uint64_t ticket;
    bool cut;

    (void)error;
    mutex_lock(&l->lock);
    l->cut = true;
    cut = l->waiting && !l->answered;
    ticket = l->ticket;
    mutex_unlock(&l->lock);
    if (cut)
        mirror_wait_cut(l->fs->mirror, ticket);
    unref(l);
}

void deferred_reply_limit(struct deferred_reply *l, int64_t ms)
{
    mutex_lock(&l->lock);
    l->refs++;
    mutex_unlock(&l->lock);
    pool_add_later(l->fs->pool, ms, over, l);
}
