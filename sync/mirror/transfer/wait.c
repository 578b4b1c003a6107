/* SPDX-License-Identifier: MIT */
/*
 * wait: waits for the master's answer (close, fsync). A wait ends when the operation is answered;
 * when the link is down, when 5 s passed without progress, when it is cut, or when the operation is
 * deferred or waits for one that was or is refused, it ends by making the queue durable instead:
 * one sync for all waits at that point.
 *
 * Progress is what never happened before and brings this operation nearer to the master: bytes of
 * it, of its content, or of what goes before it, that are sent for the first time, and answers that
 * settle something (the outbox is sent in order). What is sent once more does not count, nor what
 * others upload for later operations, nor what the master says. All of that is finite, so no wait
 * is without end.
 */
#include "sync/mirror/transfer/wait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"
#include "sync/common/worker.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store_admin.h"
#include "sync/mirror/transfer/context.h"

#define PATIENCE_MS 5000
#define QUIET_MS    60000 /* between two equal log lines */
#define LOOK_MS     250   /* between two looks at all of them */
#define ASK_MS      1000  /* between two questions whether it waits for a refused one */

/* Why a wait ended without an answer. */
enum early { NOT_EARLY, AWAY, SLOW, CUT, HELD, CLONED, ENDING, N_EARLY };

struct waiter {
    struct waiter *next;
    uint64_t ticket;
    int64_t opid;
    int64_t began; /* mono ms */
    mirror_done_fn *done;
    void *arg;
    bool cut;
    int64_t asked;    /* when it was last asked whether it waits for a refused one; 0: never */
    bool held;        /* it does */
    int64_t moved_at; /* mono ms of the last progress; guarded by the lock */
    bool over;        /* outcome is in result */
    enum early early;
    int result;
};

struct wait {
    struct mirror *m;
    struct worker worker; /* its lock guards what follows; its thread alone removes waiters */
    struct waiter *list;
    uint64_t last_ticket;
    /* waiter thread only */
    int64_t said[N_EARLY]; /* mono ms of the last log line; 0: never */
    int unsaid[N_EARLY];   /* since then */
};

struct wait *wait_new(struct mirror *m)
{
    struct wait *w = xcalloc(1, sizeof(*w));

    w->m = m;
    worker_init(&w->worker);
    return w;
}

void wait_free(struct wait *w)
{
    if (!w)
        return;
    worker_release(&w->worker);
    free(w);
}

uint64_t wait_add(struct wait *w, int64_t opid, mirror_done_fn *done, void *arg)
{
    struct waiter *n = xcalloc(1, sizeof(*n));
    uint64_t ticket;

    n->opid = opid;
    n->began = clock_mono_ms();
    n->done = done;
    n->arg = arg;
    worker_lock(&w->worker);
    ticket = n->ticket = ++w->last_ticket;
    n->next = w->list;
    w->list = n;
    worker_unlock(&w->worker);
    wake_kick(&w->m->answers_wake);
    return ticket;
}

void wait_moved(struct wait *w, int64_t opid)
{
    int64_t now = clock_mono_ms();

    worker_lock(&w->worker);
    for (struct waiter *n = w->list; n; n = n->next)
        if (n->opid >= opid)
            n->moved_at = now;
    worker_unlock(&w->worker);
}

void wait_cut(struct wait *w, uint64_t ticket)
{
    struct waiter *n;

    worker_lock(&w->worker);
    for (n = w->list; n; n = n->next)
        if (n->ticket == ticket)
            n->cut = true;
    worker_unlock(&w->worker);
    wake_kick(&w->m->answers_wake);
}

/* Takes out what is over. */
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

/* What is known of one waiter now. Without the lock. */
static void inquire(struct wait *w, struct waiter *n, int64_t now)
{
    n->over = replica_outbox_done(w->m->replica, n->opid, &n->result);
    if (n->over)
        return;
    if (!n->asked || now - n->asked >= ASK_MS) {
        n->held = replica_outbox_held(w->m->replica, n->opid);
        n->asked = now;
    }
}

/* Makes everything queued survive power loss: contents first, then the log that names them. */
static int make_durable(struct wait *w)
{
    int r = store_sync(w->m->store);

    return r < 0 ? r : replica_sync(w->m->replica);
}

/* Logs why writers did not get the master's answer; the same reason once a minute. */
static void say(struct wait *w, enum early why, int n, int failed)
{
    char text[700], reason[512] = "";
    int64_t now = clock_mono_ms();

    w->unsaid[why] += n;
    if (w->said[why] && now - w->said[why] < QUIET_MS && failed == 0)
        return;
    wake_reason(&w->m->outbox_wake, reason);
    switch (why) {
    case AWAY:
        mutex_lock(&w->m->link.lock);
        snprintf(reason, sizeof(reason), "%s", w->m->link.reason);
        mutex_unlock(&w->m->link.lock);
        snprintf(text, sizeof(text), "the master is away: %s", reason);
        break;
    case CUT:
        snprintf(text, sizeof(text), "the wait was interrupted");
        break;
    case HELD:
        snprintf(text, sizeof(text),
                 "they depend on changes that the master refused or cannot take now (eefs-status "
                 "--quarantine)");
        break;
    case CLONED:
        snprintf(text, sizeof(text), "the master refuses what this mirror sends (eefs-status)");
        break;
    case ENDING:
        snprintf(text, sizeof(text), "the mount ends");
        break;
    default:
        snprintf(text, sizeof(text), "no progress for %d s%s%s", PATIENCE_MS / 1000,
                 *reason ? ": " : "", reason);
    }
    if (failed < 0)
        log_error("%d changes wait (%s) and cannot be made safe on this disk: %s", w->unsaid[why],
                  text, strerror(-failed));
    else
        log_warn("%d changes were closed before the master had them: %s; %s", w->unsaid[why], text,
                 w->m->cfg.offline_fail
                     ? "they are kept and will be sent, and their writers got an error"
                     : "they are safe on this disk and will be sent");
    w->said[why] = now | 1;
    w->unsaid[why] = 0;
}

/* Why a waiter need not wait any longer. With the lock. */
static enum early early(const struct wait *w, const struct waiter *n, bool cloned, int64_t now)
{
    int64_t from = n->began > n->moved_at ? n->began : n->moved_at;

    if (!link_is_up(&w->m->link))
        return AWAY;
    if (mirror_stopping(w->m))
        return ENDING;
    if (n->cut)
        return CUT;
    if (n->held)
        return HELD;
    if (cloned)
        return CLONED;
    return now >= from + PATIENCE_MS ? SLOW : NOT_EARLY;
}

/* Called with the lock held; drops it around replica and disk. */
static void look_locked(struct wait *w)
{
    int64_t now = clock_mono_ms();
    struct waiter *n, *first = w->list, *over;
    int count[N_EARLY] = {0}, late = 0, r = 0;
    bool cloned;

    worker_unlock(&w->worker);
    /* New waiters are put in front of `first` meanwhile; only this thread removes any. */
    for (n = first; n; n = n->next)
        inquire(w, n, now);
    cloned = fault_is_set(&w->m->faults, FAULT_CLONED);
    worker_lock(&w->worker);
    for (n = first; n; n = n->next) {
        if (n->over || (n->early = early(w, n, cloned, now)) == NOT_EARLY)
            continue;
        n->over = true;
        count[n->early]++;
        late++;
    }
    take_over(w, &over);
    worker_unlock(&w->worker);
    if (late)
        r = make_durable(w);
    for (int i = 0; i < N_EARLY; i++)
        if (count[i] > 0)
            say(w, (enum early)i, count[i], r);
    while ((n = over)) {
        over = n->next;
        if (n->early != NOT_EARLY)
            n->result = w->m->cfg.offline_fail ? -EIO : r;
        n->done(n->arg, n->result);
        free(n);
    }
    worker_lock(&w->worker);
}

static void *wait_main(void *arg)
{
    struct wait *w = arg;

    worker_lock(&w->worker);
    while (!mirror_stopping(w->m) || w->list) {
        int64_t until = w->list ? clock_mono_ms() + LOOK_MS : WAKE_NEVER;

        worker_unlock(&w->worker);
        if (!mirror_stopping(w->m))
            wake_wait(&w->m->answers_wake, until, true);
        worker_lock(&w->worker);
        if (w->list)
            look_locked(w);
    }
    worker_unlock(&w->worker);
    return NULL;
}

int wait_start(struct wait *w)
{
    return worker_start(&w->worker, "wait", wait_main, w);
}

void wait_stop(struct wait *w)
{
    wake_end(&w->m->answers_wake);
    worker_stop(&w->worker);
}
