/* SPDX-License-Identifier: MIT */
/*
 * registry_copy: a copy of the table of mirrors (names, hashes of their tokens, scopes) beside the
 * database, STATE/mirrors.json, so that a damaged or lost database does not cost them.
 *
 * The file is one line of JSON and a line with its SHA-256; replaced atomically, mode 0600.
 */
#ifndef EEFS_MASTER_DB_REGISTRY_COPY_H
#define EEFS_MASTER_DB_REGISTRY_COPY_H

#include "sync/common/db.h"

/* Writes the copy if it is not the same already. 0 or -errno. */
int registry_copy_save(struct db *db);
/*
 * Replaces the table's mirrors by the copy's: `always`, or only when the table is empty. Their
 * number (0 also without a copy), -EUCLEAN when the copy is damaged, or -errno.
 */
int registry_copy_restore(struct db *db, bool always);

#endif
