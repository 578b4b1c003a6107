/* SPDX-License-Identifier: MIT */
/*
 * reserve: a file in the cache folder that only takes room, so that on a full disk there is some
 * for what must go on: opening the replica's database, and noting the master's answers, which lets
 * changes out and frees more.
 */
#ifndef EEFS_MIRROR_STORE_RESERVE_H
#define EEFS_MIRROR_STORE_RESERVE_H

#include <stdbool.h>

/* Makes it when it is not there and the disk has plenty. Any thread. */
void reserve_keep(const char *cache);
/* Gives the room back to the disk; false: it was given already. */
bool reserve_release(const char *cache);

#endif
