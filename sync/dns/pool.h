/* SPDX-License-Identifier: MIT */
/*
 * pool: the servers of one name, and which of them belong into DNS. Pure: checks go in, addresses
 * come out. One thread.
 *
 * A server is down after `down` failed checks in a row and up again after `up` good ones. One whose
 * weight is less than a quarter of the middle one's for `down` checks is overloaded and rests until
 * it has half of it for `up` checks; at least half of the pool is always published. When no server
 * is up all are published: a wrong address is no worse than none.
 */
#ifndef EEFS_DNS_POOL_H
#define EEFS_DNS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/common/err.h"

struct pool_server {
    const char *address; /* numeric */
    bool ipv6;
    bool up, resting;        /* down; overloaded */
    int64_t against, strain; /* checks in a row that speak against `up`, against `resting` */
    int weight;              /* of the last good check, 1 to 100 */
    char reason[512];        /* of the last failed check, "" when the last one was good */
};

struct pool {
    struct pool_server *v;
    size_t n;
    int64_t down, up; /* checks */
};

/* The addresses live as long as the pool. All begin up, so that a restart changes nothing by itself.
 * -EINVAL with e: one is no address, or comes twice. */
int pool_init(struct pool *p, char *const *addresses, size_t n, int64_t down, int64_t up,
              struct err *e);
void pool_release(struct pool *p);

/* The outcome of one check of server i; reason NULL: good. True when `up` changed. */
bool pool_checked(struct pool *p, size_t i, const char *reason, int weight);
/* After a round of checks: who is overloaded. */
void pool_weigh(struct pool *p);

/* ret[i]: server i is to be published. Returns how many are up. */
size_t pool_publish(const struct pool *p, bool *ret);

#endif
