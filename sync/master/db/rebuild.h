/* SPDX-License-Identifier: MIT */
/*
 * rebuild: a damaged database is set aside and rebuilt: the tree from the folder, by the first
 * scan; the mirrors from the registry's copy; history, the store of kept contents and the answers
 * to mirrors from the readable part of the damaged one.
 *
 * The timelines are not taken over: every mirror lists anew and compares.
 */
#ifndef EEFS_MASTER_DB_REBUILD_H
#define EEFS_MASTER_DB_REBUILD_H

#include "sync/common/err.h"

/* Moves STATE/master.db* to STATE/damaged/<time>/ and makes the new one. Nobody may have it open.
 * 0, or -errno with a sentence. Logs the result. */
int rebuild_database(const char *db_path, struct err *e);

#endif
