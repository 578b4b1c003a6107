/* SPDX-License-Identifier: MIT */
/*
 * conflict: the place of the version that does not get the path. Its name holds the mirror and the
 * time when it was written (UTC): "name (conflict slave1 2026-11-23 101500).ext". The time is the
 * version's own, so an operation that is repeated because its outcome was lost finds its earlier
 * copy.
 */
#ifndef EEFS_MASTER_FOLDER_CONFLICT_H
#define EEFS_MASTER_FOLDER_CONFLICT_H

#include <sys/stat.h>

#include "sync/common/hash.h"
#include "sync/master/folder/folder.h"

/* The version: an existing copy that equals it is found again. */
struct conflict_like {
    const struct hash *content; /* of a file; NULL */
    const char *target;         /* of a link; NULL */
    int64_t size;               /* of the content, bytes */
};

/*
 * A path for the version written at `mtime` (ns); malloc'd. It is beside `path`; below the folder
 * of conflict_dir() when another entry than a folder is in the way. Either the path is free, or
 * (*there) it already holds an entry `like` it.
 */
char *conflict_path(const struct folder *f, const char *path, const char *who, int64_t mtime,
                    struct conflict_like like, bool *there);

/*
 * The path for the folder `path` when another entry has that name, or a name above it, on the
 * master: "name (conflict slave1 2026-11-23 101500)" with the time of the entry in the way, so that
 * all that the mirror made below it is kept together. The path is free or a folder. NULL: nothing
 * is in the way.
 */
char *conflict_dir(const struct folder *f, const char *path, const char *who);

/* Checks and makes the folder of --conflicts, and removes staged files of an earlier run from
 * it. */
int conflict_folder(const char *dir, const char *root, struct err *e);

/* True when an entry above `path` on the master is not a folder. */
bool conflict_is_blocked(const struct folder *f, const char *path);

/* Gives the file `tmp`, which is staged in the folder of --conflicts (f->conflicts; volume_enter),
 * its name there, or makes a link (like.target; tmp NULL), below a folder like that of `path`,
 * durably. *ret is where it is; malloc'd. 0 or -errno; `tmp` may be left, also when the version was
 * there already. */
int conflict_outside(struct folder *f, const char *tmp, const char *path, const char *who,
                     mode_t mode, int64_t mtime, struct conflict_like like, char **ret);

#endif
