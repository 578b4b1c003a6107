/* SPDX-License-Identifier: MIT */
/*
 * set_aside: one operation that does not go through must not hold back the others. The operation at
 * the head of the outbox that fails again and again is set aside (replica_outbox_defer) and tried
 * again from time to time, by itself; what depends on it waits with it, the rest goes on.
 *
 * Which one it is shows by the master's answer, or, when a whole request fails, by halving the
 * batch down to one. That a request of one fails may also be the way to the master: so many in a
 * row with nothing settled between them, and nobody is blamed any more.
 *
 * Push thread only.
 */
#ifndef EEFS_MIRROR_TRANSFER_SET_ASIDE_H
#define EEFS_MIRROR_TRANSFER_SET_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/proto/op.h"

struct mirror;

struct set_aside {
    struct mirror *m;
    size_t limit;     /* operations in the next request */
    int64_t head;     /* the operation that fails at the head of the outbox … */
    int tries;        /* … so many times */
    int blamed;       /* set aside for a whole request, with nothing settled since */
    int64_t full;     /* mono ms when something was last set aside for want of space; 0 */
    int64_t due;      /* mono ms of the next try of what is aside; 0: there is nothing */
    int64_t pause;    /* ms between two tries */
    int64_t from, to; /* the numbers of what is tried again */
};

void set_aside_init(struct set_aside *a, struct mirror *m);
/* The first `settled` of ops were answered for good. */
void set_aside_settled(struct set_aside *a, const struct op *ops, size_t settled);
/*
 * Operation `op`, the first of the outbox, was not taken, for the reason `code` (the master's word,
 * or one of ours) and the sentence `why`. 1: it was set aside, go on at once; 0: it is to be tried
 * again; -errno of the cache.
 */
int set_aside_failed(struct set_aside *a, const struct op *op, const char *code, const char *why);
/* A request of the first `n` operations failed as a whole; the same results, 1 also when a smaller
 * one is to be tried at once. `lost`: no answer came, or one that may be about everything. */
int set_aside_request_failed(struct set_aside *a, const struct op *op, size_t n, bool lost,
                             const char *code, const char *why);
/* Operation n has failed already, with nothing settled since. */
bool set_aside_suspects(const struct set_aside *a, int64_t n);
/* What failed last was aside already. */
bool set_aside_again(const struct set_aside *a);
/* Tries what is aside again, when its time has come or with `now`. 0 or -errno. */
int set_aside_retry(struct set_aside *a, bool now);

#endif
