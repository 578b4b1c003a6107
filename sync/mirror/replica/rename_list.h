/* SPDX-License-Identifier: MIT */
/*
 * rename_list: renames on the master that one transaction takes in.
 */
#ifndef EEFS_MIRROR_REPLICA_RENAME_LIST_H
#define EEFS_MIRROR_REPLICA_RENAME_LIST_H

#include "sync/mirror/replica/db.h"

struct renaming {
    char *from, *to;
    bool folder;
    bool other; /* here something else has the old name, as after a rename of this mirror's own */
    struct row was; /* what keeps its number; none when that is under change here */
};

/* Begins zeroed. */
struct renamings {
    struct renaming *v;
    size_t n, cap;
};

void renamings_add(struct renamings *m, const char *from, const char *to, bool folder);
/* By `to`, as renamings_row() needs it. */
void renamings_sort(struct renamings *m);
/* The row of what is `path` now; NULL. */
const struct row *renamings_row(const struct renamings *m, const char *path);
void renamings_release(struct renamings *m);

#endif
