/* SPDX-License-Identifier: MIT */
/*
 * pathset: a set of tree paths that finds whether a path lies at or below one of them, or above
 * one, in time that depends on the path's depth only. Not thread safe.
 */
#ifndef EEFS_MIRROR_REPLICA_PATHSET_H
#define EEFS_MIRROR_REPLICA_PATHSET_H

#include <stdbool.h>

struct pathset;

struct pathset *pathset_new(void);
void pathset_free(struct pathset *s); /* NULL is fine */
void pathset_add(struct pathset *s, const char *path);
/* True when one of the set is `path` or a folder above it. */
bool pathset_covers(const struct pathset *s, const char *path);
/* True when one of the set is `path` or lies below it. */
bool pathset_below(const struct pathset *s, const char *path);

#endif
