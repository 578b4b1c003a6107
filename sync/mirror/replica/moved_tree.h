/* SPDX-License-Identifier: MIT */
/*
 * moved_tree: the paths that a rename moves, as the view has them before it.
 */
#ifndef EEFS_MIRROR_REPLICA_MOVED_TREE_H
#define EEFS_MIRROR_REPLICA_MOVED_TREE_H

#include "sync/mirror/replica/db.h"

struct moved {
    char *path;
    struct row row;
};

/* Begins zeroed but for `db`, the caller's connection. */
struct moves {
    struct moved *v;
    size_t n, cap;
    struct db *db;
    const char *dir; /* while collecting */
};

/* `path` itself, of which the view is v, and all that the view has below it, parents first. 0 or
 * -errno. */
int moved_tree_collect(struct moves *m, const char *path, const struct row *v);
void moved_tree_release(struct moves *m);

#endif
