/* SPDX-License-Identifier: MIT */
/*
 * renamed: files and folders that have another name than before. A rename is a tombstone and an
 * entry that bears moved_from, written in one transaction, so a mirror never sees neither or half a
 * folder; contents are named by hash, so nothing is sent or read again. The row of a file tells
 * that it is the same one: inode, size and mtime; the ctime too for what is inside a renamed folder
 * (renaming a file changes its own ctime, so it is read again, after it was published).
 */
#ifndef EEFS_MASTER_PUBLISH_RENAMED_H
#define EEFS_MASTER_PUBLISH_RENAMED_H

#include <sys/stat.h>

#include "sync/master/db/tree.h"
#include "sync/master/publish/observe.h"

/*
 * Looks for the live row of the file or folder `st` (at `path` now) under another path, its former
 * name. 1, 0 or -errno. Any thread.
 */
int renamed_origin(struct master *m, struct db *db, const char *path, const struct stat *st,
                   struct row *ret);
/*
 * True when the file or folder at `path` was created after `row` was written: then it is a
 * different one that got the row's inode number (ext4 gives the number of a removed folder to the
 * next one). False where the filesystem knows no time of birth or the row no ctime. Any thread.
 */
bool renamed_born_after(const struct master *m, const char *path, const struct row *row);
/* False: on the filesystem of `path`, inode numbers do not identify a file over time. Any
 * thread. */
bool renamed_keeps_inode(const struct master *m, const char *path);
/*
 * Looks whether the folder that the tree has at `from` is at `to` now, of which the tree has nothing. Then
 * it is renamed there: its row and those below are moved, each only if the file is there as its row says
 * (what is not is looked at), and the rename is noted (folder_renames.h). What has the old name by now
 * is looked at. 1, 0: not so, -errno of the database. Committer's thread.
 */
int renamed_folder(struct master *m, const char *from, const char *to);
/*
 * Looks whether the file that the tree has, or had until just now, as `was` is where a rename that the
 * watcher heard of took it. There it is published as renamed; it is read again later. May wait for the
 * watcher (departures.h). Committer's thread. 0 or -errno of the database.
 */
int renamed_departed(struct master *m, const struct row *was);
/* Publishes an observation that still holds, as a rename when it is one. Committer's thread. 0 or
 * -errno of the database. */
int renamed_publish(struct master *m, const struct observation *o);

#endif
