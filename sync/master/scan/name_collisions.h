/* SPDX-License-Identifier: MIT */
/*
 * name_collisions: names that differ only by case or by Unicode normalisation. On Linux they are
 * different names and stay so; a person, or another system, may confuse them.
 */
#ifndef EEFS_MASTER_SCAN_NAME_COLLISIONS_H
#define EEFS_MASTER_SCAN_NAME_COLLISIONS_H

#include <stddef.h>

/*
 * Calls fn(arg, a, b) for each name b that is like an earlier name a. Names that are not UTF-8 are
 * like none.
 */
void name_collisions_find(char *const *names, size_t n,
                          void (*fn)(void *arg, const char *a, const char *b), void *arg);

#endif
