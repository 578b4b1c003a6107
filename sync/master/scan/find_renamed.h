/* SPDX-License-Identifier: MIT */
/*
 * find_renamed: files and folders that were renamed in the folder, found by the inode number. Scan
 * workers.
 */
#ifndef EEFS_MASTER_SCAN_FIND_RENAMED_H
#define EEFS_MASTER_SCAN_FIND_RENAMED_H

#include <sys/stat.h>

#include "sync/common/db.h"
#include "sync/master/master.h"

/*
 * A folder without a row that was found at `path`: when it had another name before, its row and
 * those below are moved, each only if the file is there as its row says (what is not is looked
 * at). Scan workers; returns after the commit.
 */
void find_renamed_folder(struct master *m, struct db *db, const char *path, const struct stat *st);
/*
 * A file that is not as the row of `path` says (if there is one): when it had another name before
 * and nothing speaks for a change since, it is observed without reading it. `told`: the kernel
 * said that it was renamed; then a ctime that differs is no obstacle, and the file is read
 * afterwards. False: it must be read (also where numbers of inodes do not last). Scan workers.
 */
bool find_renamed_file(struct master *m, struct db *db, const char *path, const struct stat *st,
                       bool told);

#endif
