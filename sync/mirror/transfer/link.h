/* SPDX-License-Identifier: MIT */
/*
 * link: the circuit breaker: is the master there? Set by the outcome of every request; while it is
 * down only the pull thread's hello is sent, all other requests fail at once or wait. Thread safe.
 */
#ifndef EEFS_MIRROR_TRANSFER_LINK_H
#define EEFS_MIRROR_TRANSFER_LINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/proto/http_client.h"

struct link {
    pthread_mutex_t
        lock; /* guards what follows but the atomics; a leaf: nothing is taken under it */
    pthread_cond_t changed;
    atomic_bool down; /* read without the lock; also ends a running long poll */
    bool denied;      /* down because the master does not know the token (401) */
    int64_t contact;  /* mono ms of the last answer, 0: never */
    int64_t since;    /* mono ms of the last change of up/down */
    char reason[512]; /* why it is down */
    void (*broken)(
        void *arg); /* called when it goes down, without the lock; set before threads start */
    void *arg;
};

/* Begins "up, never contacted", so that nobody is refused before the first try. */
void link_init(struct link *l);
void link_release(struct link *l);
void link_ok(struct link *l);
/* The sentence of e is the reason; -ECANCELED in e changes nothing. */
void link_fail(struct link *l, const struct err *e);
void link_deny(struct link *l, const char *why);
static inline bool link_is_up(struct link *l)
{
    return !atomic_load(&l->down);
}
/* Waits until it is up or mono ms `deadline`; woken also by link_wake. True when up. */
bool link_wait_up(struct link *l, int64_t deadline);
void link_wake(struct link *l);

/* Applies the outcome of http_run to the link: -errno, 401 and 5xx bring it down. Returns 0 when
 * the answer is to be looked at, else -errno with e filled. */
int link_judge(struct link *l, int result, const struct http_reply *reply, struct err *e);

#endif
