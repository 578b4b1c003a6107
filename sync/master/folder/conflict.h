/* SPDX-License-Identifier: MIT */
/*
 * conflict: where the version goes that does not get the path. Its name tells whose it is and when
 * it was written (UTC): "name (conflict slave1 2026-11-23 101500).ext". The time is the version's
 * own, so an operation that is made once more, for its outcome was lost, finds what it made before.
 */
#ifndef EEFS_MASTER_FOLDER_CONFLICT_H
#define EEFS_MASTER_FOLDER_CONFLICT_H

#include <sys/stat.h>

#include "sync/common/hash.h"
#include "sync/master/folder/folder.h"

/* What the version is: something that is it already is found again. */
struct conflict_like {
    const struct hash *content; /* of a file; NULL */
    const char *target;         /* of a link; NULL */
    int64_t size;               /* of the content, bytes */
};

/*
 * A path for the version written at `mtime` (ns); malloc'd. It is beside `path`; below the folder
 * of conflict_dir() when something else than a folder is in the way. Nothing is there, or (*there)
 * what is `like` it already.
 */
char *conflict_path(const struct folder *f, const char *path, const char *who, int64_t mtime,
                    struct conflict_like like, bool *there);

/*
 * Where the folder `path` is kept when something else has that name, or a name above it, on the
 * master: "name (conflict slave1 2026-11-23 101500)" with the time of what is in the way, so that
 * all that the mirror made below it comes together. Nothing or a folder is there. NULL: nothing is
 * in the way.
 */
char *conflict_dir(const struct folder *f, const char *path, const char *who);

/* Checks and makes the folder of --conflicts, and removes what an earlier run left staged in it. */
int conflict_folder(const char *dir, const char *root, struct err *e);

/* True when something else than a folder is above `path` on the master. */
bool conflict_is_blocked(const struct folder *f, const char *path);

/* Gives the file `tmp`, which is staged in the folder of --conflicts (f->conflicts; volume_enter),
 * its name there, or makes a link (like.target; tmp NULL), below a folder like that of `path`,
 * durably. *ret is where it is; malloc'd. 0 or -errno; `tmp` may be left, also when the version was
 * there already. */
int conflict_outside(struct folder *f, const char *tmp, const char *path, const char *who,
                     mode_t mode, int64_t mtime, struct conflict_like like, char **ret);

#endif
