/* SPDX-License-Identifier: MIT */
#include "sync/common/worker.h"

#include <stdlib.h>

#include "sync/common/buf.h"

void worker_init(struct worker *w)
{
    *w = (struct worker){0};
    mutex_init(&w->lock);
    cond_init(&w->more);
}

int worker_start(struct worker *w, const char *name, void *(*run)(void *), void *arg)
{
    int r;

    w->threads = xrealloc(w->threads, (w->n + 1) * sizeof(*w->threads));
    r = thread_start(&w->threads[w->n], name, run, arg);
    if (r == 0)
        w->n++;
    return r;
}

void worker_lock(struct worker *w)
{
    mutex_lock(&w->lock);
}

void worker_unlock(struct worker *w)
{
    mutex_unlock(&w->lock);
}

void worker_wake_locked(struct worker *w)
{
    cond_broadcast(&w->more);
}

bool worker_wait_locked(struct worker *w, int64_t deadline_ms)
{
    if (!w->stopping && deadline_ms == WORKER_NEVER)
        cond_wait(&w->more, &w->lock);
    else if (!w->stopping)
        cond_wait_until(&w->more, &w->lock, deadline_ms);
    return !w->stopping;
}

bool worker_stopping_locked(const struct worker *w)
{
    return w->stopping;
}

void worker_ask_stop_locked(struct worker *w)
{
    w->stopping = true;
    cond_broadcast(&w->more);
}

void worker_stop(struct worker *w)
{
    mutex_lock(&w->lock);
    worker_ask_stop_locked(w);
    mutex_unlock(&w->lock);
    while (w->n > 0)
        thread_join(w->threads[--w->n]);
}

void worker_release(struct worker *w)
{
    worker_stop(w);
    free(w->threads);
    cond_destroy(&w->more);
    mutex_destroy(&w->lock);
}
