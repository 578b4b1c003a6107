/* SPDX-License-Identifier: MIT */
/*
 * update: makes the A and AAAA records of one name those of the published servers, by nsupdate(1)
 * (RFC 2136, in one message, so that there is no moment without records) or by a command of the
 * admin. No other name and no other type is ever named; AAAA records stay as they are when no
 * server of the pool has such an address, and A records likewise.
 */
#ifndef EEFS_DNS_UPDATE_H
#define EEFS_DNS_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/buf.h"
#include "sync/common/err.h"
#include "sync/dns/pool.h"

struct update {
    const char *name; /* checked by update_check_name() */
    int64_t ttl;      /* seconds */
    /* nsupdate: */
    const char *key;    /* file */
    const char *server; /* "HOST[ PORT]" or NULL: the zone's primary */
    const char *zone;   /* or NULL: found by nsupdate */
    /* or: */
    const char *command; /* for /bin/sh; gets EEFS_NAME, EEFS_TTL, EEFS_ADDRESSES */
};

/* A host name, dots between labels of letters, digits, '-' and '_'; 0 or -EINVAL with a sentence
 * that begins with `option`. */
int update_check_name(const char *option, const char *name, struct err *e);

/* Appends what nsupdate reads, or for a command the addresses, separated by blanks. */
void update_text(const struct update *u, const struct pool *p, const bool *published,
                 struct buf *out);

/* Does it, within 30 s. 0, or -errno with e. *stop ends it. */
int update_run(const struct update *u, const char *text, const volatile int *stop, struct err *e);

#endif
