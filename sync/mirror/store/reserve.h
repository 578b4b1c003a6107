/* SPDX-License-Identifier: MIT */
/*
 * reserve: a file in the cache folder that only takes space, so that a full disk has some left for
 * opening the replica's database and for recording the master's answers, which frees more.
 */
#ifndef EEFS_MIRROR_STORE_RESERVE_H
#define EEFS_MIRROR_STORE_RESERVE_H

#include <stdbool.h>

/* Makes it when it is not there and the disk has plenty. Any thread. */
void reserve_keep(const char *cache);
/* Gives the room back to the disk; false: it was given already. */
bool reserve_release(const char *cache);

#endif
