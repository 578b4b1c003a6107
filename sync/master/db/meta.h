/* SPDX-License-Identifier: MIT */
/*
 * meta: single values in the master's database, each under a name that its owner defines:
 *
 *   id         tree.c        the master's id
 *   scopegen   registry.c    counts changes of the mirrors' scopes
 *   exclude    registry.c    the patterns that the mirrors know of
 *   volumes    registry.c    the tops of further filesystems that the mirrors know of
 *   cloned:M   registry.c    when operations of a copy of mirror M's cache were refused last
 *   kept_seq   kept_rows.c   the store of versions has seen changes up to this seq
 *   epoch      epoch.c       the folder's epoch
 *   hold       delete_guard.c why all deletions are held
 *   put_back   put_back.c    the seq at which the folder was found put back last
 *   tried      disk_check.c  a write that tests whether the disk accepts one
 *
 * Any connection; to write, within the caller's transaction or as one of its own.
 */
#ifndef EEFS_MASTER_DB_META_H
#define EEFS_MASTER_DB_META_H

#include "sync/common/db.h"

#define META_PUT_BACK "put_back"

/* `none` when there is no such value. 0 or -errno. */
int meta_get_int(struct db *db, const char *name, int64_t none, int64_t *ret);
/* A malloc'd text in *ret. 1, 0 (none) or -errno. */
int meta_get_text(struct db *db, const char *name, char **ret);
/* 0 or -errno. */
int meta_set_int(struct db *db, const char *name, int64_t value);
int meta_set_text(struct db *db, const char *name, const char *value);
int meta_remove(struct db *db, const char *name);

#endif
