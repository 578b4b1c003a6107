/* SPDX-License-Identifier: MIT */
/*
 * set_aside: one failing operation must not hold back the others. An operation at the head of the
 * outbox that fails repeatedly is set aside (replica_outbox_defer) and retried from time to time;
 * those that depend on it wait with it, all others go on.
 *
 * The master's answer names the operation, or, when a whole request fails, halving the batch down
 * to one finds it. A request of one may also fail because of the connection to the master: after
 * several failures in a row with nothing settled between them, no operation is blamed any more.
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
    int64_t due;      /* mono ms of the next retry; 0: nothing is set aside */
    int64_t pause;    /* ms between two tries */
    int64_t from, to; /* the numbers of what is tried again */
};

void set_aside_init(struct set_aside *a, struct mirror *m);
/* The first `settled` of ops were answered for good. */
void set_aside_settled(struct set_aside *a, const struct op *ops, size_t settled);
/*
 * Operation `op`, the first of the outbox, failed with reason `code` (the master's, or one of this
 * mirror) and the sentence `why`. 1: it was set aside, go on at once; 0: retry it; -errno of the
 * cache.
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
/* Retries the operations that are set aside, when due or with `now`. 0 or -errno. */
int set_aside_retry(struct set_aside *a, bool now);

#endif
