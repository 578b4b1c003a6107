/* SPDX-License-Identifier: MIT */
/*
 * conflict: where the version goes that does not get the path. Its name tells whose it is and when
 * it was written (UTC): "name (conflict slave1 2026-11-23 101500).ext". The time is the version's
 * own, so an operation that is made once more, for its outcome was lost, finds what it made before.
 */
#ifndef EEFS_MASTER_CONFLICT_H
#define EEFS_MASTER_CONFLICT_H

#include "sync/master/master.h"

/* A path beside `path` for the version written at `mtime` (ns); malloc'd. Nothing is there, or
 * (*there) a file that has the content `same` already (NULL: never). */
char *conflict_path(const struct master *m, const char *path, const char *who, int64_t mtime,
                    const struct hash *same, bool *there);

/* Checks and makes the folder of --conflicts. */
int conflict_folder(const char *dir, const char *root, struct err *e);

/* Copies a staged file into the folder of --conflicts (m->conflicts), below a folder like that of
 * `path`, durably. *ret is where it is; malloc'd. 0 or -errno. */
int conflict_outside(struct master *m, const char *tmp, const char *path, const char *who,
                     mode_t mode, int64_t mtime, const struct hash *content, char **ret);

#endif
