/* SPDX-License-Identifier: MIT */
/*
 * renames: the renames of folders in the order of their seqs, so that an outdated path leads to the
 * present one (publish/folder_renames.h). The newest RENAMES_MAX are kept.
 */
#ifndef EEFS_MASTER_DB_RENAMES_H
#define EEFS_MASTER_DB_RENAMES_H

#include "sync/common/db.h"

#define RENAMES_MAX 10000

/* Within the caller's transaction: with the change `seq` the folder `from` became `to`. `outbox`: whose
 * operation that was; NULL: found in the folder. 0 or -errno. */
int renames_add(struct db *db, int64_t seq, const char *from, const char *to, const char *outbox);

/* Takes `path`, as it was at the change `known`, through all later renames of folders above it, but
 * those of `outbox` itself. 1: *ret is its present path, malloc'd; 0: it is the same; -errno. */
int renames_lead(struct db *db, const char *path, int64_t known, const char *outbox, char **ret);

#endif
