/* SPDX-License-Identifier: MIT */
/*
 * worker: service threads and what each needs: a lock, a condition to sleep on, and a request to
 * stop. A part of a program embeds a struct worker and lets its lock guard the part's own fields
 * too.
 *
 *   static void *part_run(void *arg)
 *   {
 *       struct part *p = arg;
 *
 *       worker_lock(&p->worker);
 *       while (!worker_stopping_locked(&p->worker)) {
 *           if (!p->due) {
 *               worker_wait_locked(&p->worker, WORKER_NEVER);
 *               continue;
 *           }
 *           p->due = false;
 *           worker_unlock(&p->worker);
 *           ... the work, without the lock ...
 *           worker_lock(&p->worker);
 *       }
 *       worker_unlock(&p->worker);
 *       return NULL;
 *   }
 *
 * Life: worker_init, worker_start (several times for several threads), worker_stop, worker_release,
 * all by the thread that owns the part. The other functions may be called by every thread between
 * worker_init and worker_release. Functions called x_locked need the lock held.
 *
 * A part that needs further condition variables waits on them with the lock of its worker, and
 * wakes them itself after worker_ask_stop_locked().
 */
#ifndef EEFS_COMMON_WORKER_H
#define EEFS_COMMON_WORKER_H

#include "sync/common/thread.h"

#define WORKER_NEVER INT64_MAX

struct worker {
    pthread_mutex_t lock; /* guards stopping, and what the owner declares */
    pthread_cond_t more;
    bool stopping;
    pthread_t *threads; /* n of them; only the owner's thread looks at them */
    unsigned n;
};

void worker_init(struct worker *w);

/* Starts one more thread, named as for thread_start(), that runs run(arg). 0 or -errno (EAGAIN: out
 * of threads); threads that run already are not affected. */
int worker_start(struct worker *w, const char *name, void *(*run)(void *), void *arg);

void worker_lock(struct worker *w);
void worker_unlock(struct worker *w);

/* Wakes all waiting threads. The caller has changed their condition under the lock. */
void worker_wake_locked(struct worker *w);

/* Sleeps without the lock until it is woken or clock_mono_ms() reaches deadline_ms (WORKER_NEVER:
 * no deadline), possibly for less; not at all once a stop was requested. False when a stop was
 * requested. */
bool worker_wait_locked(struct worker *w, int64_t deadline_ms);

bool worker_stopping_locked(const struct worker *w);

/* Asks all threads to stop and wakes those that wait; returns at once. */
void worker_ask_stop_locked(struct worker *w);

/* Asks all threads to stop and joins them; the lock must not be held, and the threads must not need
 * one that the caller holds. Fine when nothing was started, and a second time. */
void worker_stop(struct worker *w);

/* Stops it and frees what it holds, not the struct itself. */
void worker_release(struct worker *w);

#endif
