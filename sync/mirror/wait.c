/* SPDX-License-Identifier: MIT */
/*
 * wait: who waits for the master's answer (close, fsync). A wait ends when the operation is
 * answered; when the link is down, when 5 s passed without progress, or when it is cut, it ends by
 * making the queue durable instead: one sync for all who are at that point.
 */
#include <errno.h>
#include <stdlib.h>

#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"
#include "sync/mirror/inside.h"

#define PATIENCE_MS 5000

struct waiter {
    struct waiter *next;
    uint64_t ticket;
    int64_t opid;
    int64_t began; /* mono ms */
    mirror_done_fn *done;
    void *arg;
    bool cut;
    bool over; /* outcome is in result */
    int result;
};

struct wait {
    struct mirror *m;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* guards what follows; the waiter thread alone removes waiters */
    pthread_cond_t more;
    struct waiter *list;
    uint64_t last_ticket;
    bool woken;
    long long moved; /* bytes at the last look, and when they last grew (waiter thread only) */
    int64_t moved_at;
};

struct wait *wait_new(struct mirror *m)
{
    struct wait *w = xcalloc(1, sizeof(*w));

    w->m = m;
    mutex_init(&w->lock);
    cond_init(&w->more);
    return w;
}

void wait_free(struct wait *w)
{
    if (!w)
        return;
    cond_destroy(&w->more);
    mutex_destroy(&w->lock);
    free(w);
}

void wait_wake(struct wait *w)
{
    mutex_lock(&w->lock);
    w->woken = true;
    cond_signal(&w->more);
    mutex_unlock(&w->lock);
}

uint64_t wait_add(struct wait *w, int64_t opid, mirror_done_fn *done, void *arg)
{
    struct waiter *n = xcalloc(1, sizeof(*n));
    uint64_t ticket;

    n->opid = opid;
    n->began = clock_mono_ms();
    n->done = done;
    n->arg = arg;
    mutex_lock(&w->lock);
    ticket = n->ticket = ++w->last_ticket;
    n->next = w->list;
    w->list = n;
    w->woken = true;
    cond_signal(&w->more);
    mutex_unlock(&w->lock);
    return ticket;
}

void wait_cut(struct wait *w, uint64_t ticket)
{
    struct waiter *n;

    mutex_lock(&w->lock);
    for (n = w->list; n; n = n->next)
        if (n->ticket == ticket)
            n->cut = true;
    w->woken = true;
    cond_signal(&w->more);
    mutex_unlock(&w->lock);
}

/* Takes the whole list; nodes stay reachable only for this thread, so cut marks are read before. */
static void take_over(struct wait *w, struct waiter **over)
{
    struct waiter **at = &w->list, *n;

    *over = NULL;
    while ((n = *at)) {
        if (!n->over) {
            at = &n->next;
            continue;
        }
        *at = n->next;
        n->next = *over;
        *over = n;
    }
}

static void note_progress(struct wait *w, int64_t now)
{
    long long moved = atomic_load(&w->m->moved);

    if (moved != w->moved) {
        w->moved = moved;
        w->moved_at = now;
    }
}

/* Makes everything queued survive power loss: contents first, then the log that names them. */
static int make_durable(struct wait *w)
{
    int r = store_sync(w->m->store);

    return r < 0 ? r : replica_sync(w->m->replica);
}

/* Called with the lock held; drops it around replica and disk. */
static void look_locked(struct wait *w)
{
    int64_t now = clock_mono_ms();
    bool down = !link_is_up(&w->m->link) || mirror_stopping(w->m);
    struct waiter *n, *first = w->list, *over;
    bool late = false;
    int r = 0;

    note_progress(w, now);
    mutex_unlock(&w->lock);
    /* New waiters are put in front of `first` meanwhile; only this thread removes any. */
    for (n = first; n; n = n->next)
        if (replica_outbox_done(w->m->replica, n->opid, &n->result))
            n->over = true;
    mutex_lock(&w->lock);
    for (n = first; n; n = n->next)
        if (!n->over && (down || n->cut ||
                         now >= (n->began > w->moved_at ? n->began : w->moved_at) + PATIENCE_MS)) {
            n->over = late = true;
            n->result = w->m->cfg.offline_fail ? -EIO : 1;
        }
    take_over(w, &over);
    mutex_unlock(&w->lock);
    if (late)
        r = make_durable(w);
    if (late)
        log_info("a change waits for the master: it is %s", w->m->cfg.offline_fail
                                                                ? "kept, and the writer was told"
                                                                : "safely queued on this disk");
    while ((n = over)) {
        over = n->next;
        n->done(n->arg, n->result == 1 ? r : n->result);
        free(n);
    }
    mutex_lock(&w->lock);
}

static void *wait_main(void *arg)
{
    struct wait *w = arg;

    mutex_lock(&w->lock);
    while (!mirror_stopping(w->m) || w->list) {
        if (!w->woken && !w->list && !mirror_stopping(w->m))
            cond_wait(&w->more, &w->lock);
        else if (!w->woken && !mirror_stopping(w->m))
            cond_wait_until(&w->more, &w->lock, clock_mono_ms() + 250);
        w->woken = false;
        if (w->list)
            look_locked(w);
    }
    mutex_unlock(&w->lock);
    return NULL;
}

int wait_start(struct wait *w)
{
    int r = thread_start(&w->thread, "wait", wait_main, w);

    w->running = r == 0;
    return r;
}

void wait_stop(struct wait *w)
{
    wait_wake(w);
    if (w->running)
        thread_join(w->thread);
    w->running = false;
}
