/* SPDX-License-Identifier: MIT */
/*
 * rename: files and folders that have another name than before. A rename is a tombstone and an entry
 * that bears moved_from, written in one transaction, so a mirror never sees neither or half a
 * folder; contents are named by hash, so nothing is sent or read again. The row of a file tells
 * that it is the same one: inode, size and mtime; the ctime too for what is inside a renamed
 * folder (renaming a file changes its own ctime, so it is read again, after it was published).
 */
#ifndef EEFS_MASTER_OPS_RENAME_H
#define EEFS_MASTER_OPS_RENAME_H

#include "sync/master/commit/committer.h"

/*
 * Looks for the live row of the file or folder `st` (at `path` now) under another path that is not
 * its name any more. 1, 0 or -errno. Any thread.
 */
int move_origin(struct master *m, struct db *db, const char *path, const struct stat *st,
                struct row *ret);
/*
 * A folder without a row that was found at `path`: when it had another name before, its row and
 * those below are moved, each only if the file is there as its row says (what is not is looked
 * at). Index workers; returns after the commit.
 */
void move_folder(struct master *m, struct db *db, const char *path, const struct stat *st);
/*
 * A file that is not as the row of `path` says (if there is one): when it had another name before
 * and nothing speaks for a change since, it is observed without reading it. `told`: the kernel
 * said that it was renamed; then a ctime that differs is no obstacle, and the file is read
 * afterwards. False: it must be read (also where numbers of inodes do not last). Index workers.
 */
bool move_file(struct master *m, struct db *db, const char *path, const struct stat *st, bool told);
/* Publishes an observation that still holds, as a rename when it is one. Committer's thread. 0 or
 * -errno of the database. */
int move_publish(struct master *m, const struct observation *o);

#endif
