/* SPDX-License-Identifier: MIT */
#include "fs/pool.h"

#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"

struct job {
    struct job *next;
    pool_fn *fn;
    void *arg;
    int error;
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

static void *work(void *arg)
{
    struct pool *p = arg;

    mutex_lock(&p->lock);
    for (;;) {
        struct job *j = p->first;

        if (!j && p->stop)
            break;
        if (!j) {
            cond_wait(&p->changed, &p->lock);
            continue;
        }
        p->first = j->next;
        if (!p->first)
            p->last = &p->first;
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

void pool_add(struct pool *p, pool_fn *fn, void *arg, int error)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->fn = fn;
    j->arg = arg;
    j->error = error;
    mutex_lock(&p->lock);
    *p->last = j;
    p->last = &j->next;
    cond_broadcast(&p->changed);
    mutex_unlock(&p->lock);
}

void pool_drain(struct pool *p)
{
    mutex_lock(&p->lock);
    while (p->first || p->running)
        cond_wait(&p->changed, &p->lock);
    mutex_unlock(&p->lock);
}
