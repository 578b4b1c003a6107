/* SPDX-License-Identifier: MIT */
/*
 * epoch: the number in the marker of the served folder and in the database (meta.h: epoch) that
 * moves on with each start and each hour. The marker is written first: after a kill in between it is
 * ahead of the database, and never behind.
 */
#ifndef EEFS_MASTER_FOLDER_EPOCH_H
#define EEFS_MASTER_FOLDER_EPOCH_H

#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/db.h"
#include "sync/master/folder/folder.h"

#define EPOCH_MS (3600 * 1000)

/* The database's epoch, 0: none. 0 or -errno. */
int epoch_get(struct db *db, int64_t *ret);
/* Moves it on, over the connection `db`, or over one of its own when that is NULL. Any thread; waits
 * for the filesystem. 0 or -errno with e. */
int epoch_advance(struct folder *f, struct db *db, struct err *e);

#endif
