/* SPDX-License-Identifier: MIT */
/* schema: the tables of the master's database; each other file of this folder owns one or a few. */
#ifndef EEFS_MASTER_DB_SCHEMA_H
#define EEFS_MASTER_DB_SCHEMA_H

#include "sync/common/db.h"

/*
 * Opens the database at `path` and, unless it is DB_READ_ONLY, creates it or brings its schema up
 * to date. `flags`: enum db_flags; DB_SEALED is added. The caller closes *ret. 0 or -errno with e
 * filled (may be NULL), see db_open() and db_migrate().
 */
int schema_open(const char *path, int flags, struct db **ret, struct err *e);

#endif
