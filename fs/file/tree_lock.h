/* SPDX-License-Identifier: MIT */
/* tree_lock: fs->tree, whose order and purpose are in fs.h. Each call aborts on misuse; a thread
 * takes it once only. */
#ifndef EEFS_FS_FILE_TREE_LOCK_H
#define EEFS_FS_FILE_TREE_LOCK_H

struct fs;

/* Names stay as they are: by who builds a path and asks the replica for it. */
void fs_tree_read(struct fs *fs);
/* By who moves or removes names, in the replica and in the table of nodes. */
void fs_tree_write(struct fs *fs);
void fs_tree_unlock(struct fs *fs);

#endif
