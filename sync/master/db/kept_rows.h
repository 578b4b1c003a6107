/* SPDX-License-Identifier: MIT */
/*
 * kept_rows: a row for each content in the store of versions (folder/kept.h). Writes are part of
 * the caller's transaction. All return 0 or -errno, unless noted.
 */
#ifndef EEFS_MASTER_DB_KEPT_ROWS_H
#define EEFS_MASTER_DB_KEPT_ROWS_H

#include "sync/master/db/tree.h"

/* Now; one that is there stays as it is. `found` (wall ns): it was found in the store without a row,
 * so that its path may be lost; 0: it was not. */
int kept_rows_add(struct db *db, const struct hash *h, int64_t size, int64_t found);
int kept_rows_remove(struct db *db, const struct hash *h);
/* 1, 0 or -errno. */
int kept_rows_has(struct db *db, const struct hash *h);
int kept_rows_each(struct db *db, void (*fn)(void *arg, const struct hash *h), void *arg);

/* Calls fn for at most `max` contents in the order in which they are to go, until it returns false:
 * first each `orphan`, which no path has or had, then the versions by the time they ended, then
 * the contents of files. Those that were found after `found` are left out (INT64_MAX: none). */
int kept_rows_oldest(struct db *db, int64_t found, int64_t max,
                     bool (*fn)(void *arg, const struct hash *h, int64_t size, bool orphan),
                     void *arg);

/* Calls fn for contents whose paths are lost: of those that were found without a row or with a damaged
 * database (at `found`, wall ns) what no path has or had, until it returns false. */
int kept_rows_unnamed(struct db *db,
                      bool (*fn)(void *arg, const struct hash *h, int64_t size, int64_t found),
                      void *arg);
/* Of those the ones that a path has or had count as not found. */
int kept_rows_named(struct db *db);

/* As tree_each_since(), for the live files of at most `size` bytes whose content is not kept. */
int kept_rows_lacking(struct db *db, int64_t seq, int64_t size,
                      bool (*fn)(void *arg, struct row *row), void *arg);
/* How many live files have a content that is not kept, dumps left out, and their bytes. */
int kept_rows_count_lacking(struct db *db, int64_t *files, int64_t *bytes);

/* The seq up to which the store has seen the tree; -1: none yet. */
int kept_rows_seq(struct db *db, int64_t *ret);
int kept_rows_set_seq(struct db *db, int64_t seq);

#endif
