/* SPDX-License-Identifier: MIT */
#include "sync/common/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void must(int r, const char *what)
{
    if (r != 0) {
        fprintf(stderr, "eefs: %s: %s\n", what, strerror(r));
        abort();
    }
}

void mutex_init(pthread_mutex_t *m)
{
    pthread_mutexattr_t a;

    must(pthread_mutexattr_init(&a), "pthread_mutexattr_init");
    must(pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK), "pthread_mutexattr_settype");
    must(pthread_mutex_init(m, &a), "pthread_mutex_init");
    pthread_mutexattr_destroy(&a);
}

void mutex_destroy(pthread_mutex_t *m)
{
    must(pthread_mutex_destroy(m), "pthread_mutex_destroy");
}

void mutex_lock(pthread_mutex_t *m)
{
    must(pthread_mutex_lock(m), "pthread_mutex_lock");
}

void mutex_unlock(pthread_mutex_t *m)
{
    must(pthread_mutex_unlock(m), "pthread_mutex_unlock");
}

void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t a;

    must(pthread_condattr_init(&a), "pthread_condattr_init");
    must(pthread_condattr_setclock(&a, CLOCK_MONOTONIC), "pthread_condattr_setclock");
    must(pthread_cond_init(c, &a), "pthread_cond_init");
    pthread_condattr_destroy(&a);
}

void cond_destroy(pthread_cond_t *c)
{
    must(pthread_cond_destroy(c), "pthread_cond_destroy");
}

void cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    must(pthread_cond_wait(c, m), "pthread_cond_wait");
}

bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ms)
{
    struct timespec ts = {deadline_ms / 1000, deadline_ms % 1000 * 1000000};
    int r = pthread_cond_timedwait(c, m, &ts);

    if (r == ETIMEDOUT)
        return false;
    must(r, "pthread_cond_timedwait");
    return true;
}

void cond_signal(pthread_cond_t *c)
{
    must(pthread_cond_signal(c), "pthread_cond_signal");
}

void cond_broadcast(pthread_cond_t *c)
{
    must(pthread_cond_broadcast(c), "pthread_cond_broadcast");
}

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg)
{
    sigset_t all, old;
    int r;

    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &old), "pthread_sigmask");
    r = pthread_create(ret, NULL, fn, arg);
    must(pthread_sigmask(SIG_SETMASK, &old, NULL), "pthread_sigmask");
    if (r != 0)
        return -r;
    pthread_setname_np(*ret, name);
    return 0;
}

void thread_join(pthread_t t)
{
    must(pthread_join(t, NULL), "pthread_join");
}

static void *unwind(void *arg)
{
    pthread_exit(arg);
}

void thread_load_unwinder(void)
{
    pthread_t t;

    if (thread_start(&t, "unwind", unwind, NULL) == 0)
        thread_join(t);
}
