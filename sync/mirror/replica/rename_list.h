/* SPDX-License-Identifier: MIT */
/*
 * rename_list: the renames on the master that one transaction applies.
 */
#ifndef EEFS_MIRROR_REPLICA_RENAME_LIST_H
#define EEFS_MIRROR_REPLICA_RENAME_LIST_H

#include "sync/mirror/replica/db.h"

struct master_rename {
    char *from, *to;
    bool folder;
    bool other;     /* what has the old name here is another entry, or was moved back to it here */
    struct row was; /* the entry that keeps its number; none when it is being changed here */
};

/* Begins zeroed. */
struct master_renames {
    struct master_rename *v;
    size_t n, cap;
};

void master_renames_add(struct master_renames *m, const char *from, const char *to, bool folder);
/* By `to`, as master_renames_row() needs it. */
void master_renames_sort(struct master_renames *m);
/* The row of what is `path` now; NULL. */
const struct row *master_renames_row(const struct master_renames *m, const char *path);
void master_renames_release(struct master_renames *m);

#endif
