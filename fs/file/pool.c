/* SPDX-License-Identifier: MIT */
#include "fs/file/pool.h"

#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/worker.h"

struct job {
    struct job *next;
    pool_fn *fn;
    void *arg;
    int error;
    int64_t due; /* clock_mono_ms(); 0: at once */
};

struct pool {
    struct worker worker;
    struct job *first, **last; /* guarded by its lock, as all below */
    unsigned running;
};

/* Takes the first job that is due out of the list; NULL, and in *next when to look again (or 0). */
static struct job *take_locked(struct pool *p, int64_t *next)
{
    int64_t now = 0;

    *next = 0;
    for (struct job **j = &p->first; *j; j = &(*j)->next) {
        struct job *job = *j;

        if (job->due && !now)
            now = clock_mono_ms();
        if (job->due > now) {
            *next = *next && *next < job->due ? *next : job->due;
            continue;
        }
        *j = job->next;
        if (!*j)
            p->last = j;
        return job;
    }
    return NULL;
}

static void *work(void *arg)
{
    struct pool *p = arg;
    int64_t next;

    worker_lock(&p->worker);
    for (;;) {
        struct job *j = take_locked(p, &next);

        if (!j && worker_stopping_locked(&p->worker) && !next)
            break;
        if (!j && next) { /* also when it is to stop: the job is run when it is due */
            cond_wait_until(&p->worker.more, &p->worker.lock, next);
            continue;
        }
        if (!j) {
            worker_wait_locked(&p->worker, WORKER_NEVER);
            continue;
        }
        p->running++;
        worker_unlock(&p->worker);
        j->fn(j->arg, j->error);
        free(j);
        worker_lock(&p->worker);
        p->running--;
        worker_wake_locked(&p->worker);
    }
    worker_unlock(&p->worker);
    return NULL;
}

int pool_new(unsigned threads, struct pool **ret)
{
    struct pool *p = xcalloc(1, sizeof(*p));
    int r = 0;

    worker_init(&p->worker);
    p->last = &p->first;
    for (unsigned i = 0; i < threads && r == 0; i++)
        r = worker_start(&p->worker, "fs-pool", work, p);
    if (r < 0) {
        pool_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    worker_release(&p->worker);
    free(p);
}

static void add(struct pool *p, int64_t due, pool_fn *fn, void *arg, int error)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->fn = fn;
    j->arg = arg;
    j->error = error;
    j->due = due;
    worker_lock(&p->worker);
    *p->last = j;
    p->last = &j->next;
    worker_wake_locked(&p->worker);
    worker_unlock(&p->worker);
}

void pool_add(struct pool *p, pool_fn *fn, void *arg, int error)
{
    add(p, 0, fn, arg, error);
}

void pool_add_later(struct pool *p, int64_t delay_ms, pool_fn *fn, void *arg)
{
    add(p, clock_mono_ms() + delay_ms, fn, arg, 0);
}

static void hurry_locked(struct pool *p)
{
    bool delayed = false;

    for (struct job *j = p->first; j; j = j->next) {
        delayed |= j->due != 0;
        j->due = 0;
    }
    if (delayed)
        worker_wake_locked(&p->worker);
}

void pool_drain(struct pool *p)
{
    worker_lock(&p->worker);
    while (p->first || p->running) {
        hurry_locked(p);
        worker_wait_locked(&p->worker, WORKER_NEVER);
    }
    worker_unlock(&p->worker);
}
