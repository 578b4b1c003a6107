/* SPDX-License-Identifier: MIT */
#include "fs/file/turn.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"

struct turn {
    pthread_mutex_t lock; /* guards taken */
    pthread_cond_t passed;
    bool taken;
    _Atomic pthread_t holder; /* while taken; only itself asks whether it is */
};

struct turn *turn_new(void)
{
    struct turn *t = xcalloc(1, sizeof(*t));

    mutex_init(&t->lock);
    cond_init(&t->passed);
    return t;
}

void turn_free(struct turn *t)
{
    if (!t)
        return;
    cond_destroy(&t->passed);
    mutex_destroy(&t->lock);
    free(t);
}

static bool is_mine(struct turn *t)
{
    return pthread_equal(atomic_load(&t->holder), pthread_self());
}

static void unlock(void *arg)
{
    struct turn *t = arg;

    mutex_unlock(&t->lock);
}

void turn_take(struct turn *t)
{
    if (is_mine(t))
        return;
    mutex_lock(&t->lock);
    pthread_cleanup_push(unlock, t);
    while (t->taken)
        cond_wait(&t->passed, &t->lock);
    t->taken = true;
    atomic_store(&t->holder, pthread_self());
    pthread_cleanup_pop(1);
}

void turn_pass(struct turn *t)
{
    if (!is_mine(t))
        return;
    mutex_lock(&t->lock);
    atomic_store(&t->holder, (pthread_t)0);
    t->taken = false;
    cond_signal(&t->passed);
    mutex_unlock(&t->lock);
}
