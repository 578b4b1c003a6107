/* SPDX-License-Identifier: MIT */
/*
 * rename_list: renames on the master that one transaction takes in.
 */
#ifndef EEFS_MIRROR_REPLICA_RENAME_LIST_H
#define EEFS_MIRROR_REPLICA_RENAME_LIST_H

#include "sync/mirror/replica/db.h"

struct master_rename {
    char *from, *to;
    bool folder;
    bool other; /* here something else has the old name, as after a rename of this mirror's own */
    struct row was; /* what keeps its number; none when that is under change here */
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
