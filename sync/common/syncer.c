/* SPDX-License-Identifier: MIT */
#include "sync/common/syncer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/worker.h"

#define THREADS 7 /* beside the caller */

struct syncer {
    struct worker worker; /* its lock guards the rest */
    const int *fds;
    size_t n, next, done;
    int error;           /* -errno of one that failed; 0 */
    pthread_cond_t over; /* all are done */
};

/* Takes files until none is left. */
static void work_locked(struct syncer *s)
{
    while (s->next < s->n) {
        int fd = s->fds[s->next++], r;

        worker_unlock(&s->worker);
        r = fsync(fd) < 0 ? -errno : 0;
        worker_lock(&s->worker);
        if (r < 0)
            s->error = r;
        if (++s->done == s->n)
            cond_signal(&s->over);
    }
}

static void *syncer_run_thread(void *arg)
{
    struct syncer *s = arg;

    worker_lock(&s->worker);
    while (!worker_stopping_locked(&s->worker)) {
        work_locked(s);
        worker_wait_locked(&s->worker, WORKER_NEVER);
    }
    worker_unlock(&s->worker);
    return NULL;
}

int syncer_start(struct syncer **ret)
{
    struct syncer *s = xcalloc(1, sizeof(*s));
    int r = 0;

    worker_init(&s->worker);
    cond_init(&s->over);
    for (int i = 0; i < THREADS && r == 0; i++)
        r = worker_start(&s->worker, "syncer", syncer_run_thread, s);
    if (r < 0)
        syncer_free(s);
    else
        *ret = s;
    return r;
}

void syncer_free(struct syncer *s)
{
    if (!s)
        return;
    worker_release(&s->worker);
    cond_destroy(&s->over);
    free(s);
}

int syncer_run(struct syncer *s, const int *fds, size_t n)
{
    int r;

    worker_lock(&s->worker);
    s->fds = fds;
    s->n = n;
    s->next = s->done = 0;
    s->error = 0;
    if (n > 1)
        worker_wake_locked(&s->worker);
    work_locked(s);
    while (s->done < s->n)
        cond_wait(&s->over, &s->worker.lock);
    r = s->error;
    worker_unlock(&s->worker);
    return r;
}
