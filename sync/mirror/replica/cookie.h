/* SPDX-License-Identifier: MIT */
/*
 * cookie: a name's place in the listing of its folder. It depends on the name only, so a name keeps
 * its place when it is replaced, renamed away and back, changed here or on the master, and after a
 * restart; no other name ever gets it. Listings are in the order of cookies.
 *
 * A cookie is a multiple of COOKIE_STEP: names that share one (59 bits of SHA-256: hardly ever) are
 * told apart by adding their number in byte order. So it is an offset for readdir(3): positive and
 * below 2^63, and larger than COOKIE_DOTS, which are left for "." and "..".
 */
#ifndef EEFS_MIRROR_REPLICA_COOKIE_H
#define EEFS_MIRROR_REPLICA_COOKIE_H

#include <sqlite3.h>
#include <stdint.h>

#define COOKIE_STEP 16
#define COOKIE_DOTS (COOKIE_STEP - 1)

int64_t cookie_of(const char *name);

/* The SQL function name_cookie(name), for a schema step. 0 or -EIO. */
int cookie_register(sqlite3 *h);

#endif
