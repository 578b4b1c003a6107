/* SPDX-License-Identifier: MIT */
/* tree_lock: the lock fs->tree; fs.h has its order and purpose. Each call aborts on misuse; a
 * thread takes it once only. */
#ifndef EEFS_FS_FILE_TREE_LOCK_H
#define EEFS_FS_FILE_TREE_LOCK_H

struct fs;

/* Keeps all names: for a caller that builds a path and asks the replica for it. */
void fs_tree_read(struct fs *fs);
/* For a caller that moves or removes names, in the replica and in the table of nodes. */
void fs_tree_write(struct fs *fs);
void fs_tree_unlock(struct fs *fs);

#endif
