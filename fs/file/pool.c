/* SPDX-License-Identifier: MIT */
#include "fs/file/pool.h"

#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/thread.h"

struct job {
    struct job *next;
    pool_fn *fn;
    void *arg;
    int error;
    int64_t due; /* clock_mono_ms(); 0: at once */
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last; /* guarded by lock, as all below */
    unsigned running;
    bool stop;
    unsigned n;
    pthread_t threads[]; /* n of them */
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

    mutex_lock(&p->lock);
    for (;;) {
        struct job *j = take_locked(p, &next);

        if (!j && p->stop && !next)
            break;
        if (!j && next) {
            cond_wait_until(&p->changed, &p->lock, next);
            continue;
        }
        if (!j) {
            cond_wait(&p->changed, &p->lock);
            continue;
        }
        p->running++;
        mutex_unlock(&p->lock);
        j->fn(j->arg, j->error);
        free(j);
        mutex_lock(&p->lock);
        p->running--;
        cond_broadcast(&p->changed);
    }
    mutex_unlock(&p->lock);
    return NULL;
}

int pool_new(unsigned threads, struct pool **ret)
{
    struct pool *p = xcalloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));
    int r = 0;

    mutex_init(&p->lock);
    cond_init(&p->changed);
    p->last = &p->first;
    for (; p->n < threads && r == 0; p->n += r == 0)
        r = thread_start(&p->threads[p->n], "fs-pool", work, p);
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
    mutex_lock(&p->lock);
    p->stop = true;
    cond_broadcast(&p->changed);
    mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n; i++)
        thread_join(p->threads[i]);
    cond_destroy(&p->changed);
    mutex_destroy(&p->lock);
    free(p);
}

static void add(struct pool *p, int64_t due, pool_fn *fn, void *arg, int error)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->fn = fn;
    j->arg = arg;
    j->error = error;
    j->due = due;
    mutex_lock(&p->lock);
    *p->last = j;
    p->last = &j->next;
    cond_broadcast(&p->changed);
    mutex_unlock(&p->lock);
}

void pool_add(struct pool *p, pool_fn *fn, void *arg, int error)
{
    add(p, 0, fn, arg, error);
}

void pool_add_later(struct pool *p, int64_t delay_ms, pool_fn *fn, void *arg)
{
    add(p, clock_mono_ms() + delay_ms, fn, arg, 0);
}

void pool_drain(struct pool *p)
{
    mutex_lock(&p->lock);
    while (p->first || p->running)
        cond_wait(&p->changed, &p->lock);
    mutex_unlock(&p->lock);
}
