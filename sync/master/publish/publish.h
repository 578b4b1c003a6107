/* SPDX-License-Identifier: MIT */
/* publish: rows from files, in the committer's thread and transaction. All return 0 or -errno. */
#ifndef EEFS_MASTER_PUBLISH_PUBLISH_H
#define EEFS_MASTER_PUBLISH_PUBLISH_H

#include <sys/stat.h>

#include "sync/common/hash.h"
#include "sync/master/master.h"

/* Gives folders on the way to `path` that have no row one. */
int publish_parents(struct master *m, const char *path);
/*
 * Writes the row of what is at `path`: a new seq when anything differs that mirrors see, else only
 * the stat. `hash` for files, `target` for links, else NULL. A folder keeps the `moved_from` that it has.
 */
int publish(struct master *m, const char *path, const struct stat *st, const struct hash *hash,
            const char *target, int64_t seen, const char *moved_from);
/* The folder holds names that are not served, or does not: the row's flag, which publish() keeps. */
int publish_hides(struct master *m, const char *path, bool hides);
/* At the end of a batch, before mirrors see it: updates the mtime of the folders that it touched
 * (tree.h). */
int publish_folders(struct master *m);

#endif
