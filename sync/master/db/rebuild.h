/* SPDX-License-Identifier: MIT */
/*
 * rebuild: a damaged database is kept aside and made anew: the tree from the folder, by the first
 * scan; the mirrors from the registry's copy; what can still be read of history, of the store of
 * kept contents and of the answers that mirrors got, from the damaged one.
 *
 * The timelines are not taken over: every mirror lists anew and compares.
 */
#ifndef EEFS_MASTER_DB_REBUILD_H
#define EEFS_MASTER_DB_REBUILD_H

#include "sync/common/err.h"

/* Moves STATE/master.db* to STATE/damaged/<time>/ and makes the new one. Nobody has it open. 0, or
 * -errno with a sentence. Logs what was done. */
int rebuild_database(const char *db_path, struct err *e);

#endif
