/* SPDX-License-Identifier: MIT */
/* readers: read connections to the master's database, lent to whoever reads. Thread safe. */
#ifndef EEFS_MASTER_DB_READERS_H
#define EEFS_MASTER_DB_READERS_H

#include "sync/common/db.h"

struct db_pool;

struct db_pool *db_pool_new(const char *path);
void db_pool_free(struct db_pool *p);
/* NULL when no connection can be opened. */
struct db *db_pool_get(struct db_pool *p);
void db_pool_put(struct db_pool *p, struct db *db);

#endif
