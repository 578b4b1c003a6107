/* SPDX-License-Identifier: MIT */
/* readers: read connections to the master's database, lent to reading threads. Thread safe. */
#ifndef EEFS_MASTER_DB_READERS_H
#define EEFS_MASTER_DB_READERS_H

#include "sync/common/db.h"

struct readers;

struct readers *readers_new(const char *path);
void readers_free(struct readers *p);
/* NULL when no connection can be opened. */
struct db *readers_get(struct readers *p);
void readers_put(struct readers *p, struct db *db);

#endif
