/* SPDX-License-Identifier: MIT */
/*
 * fstype: the guarantees that a kind of filesystem lacks, by the magic number of statfs(2). fd may
 * be opened with O_PATH. For an unknown kind the answer is that it lacks them. Any thread.
 */
#ifndef EEFS_MASTER_FOLDER_FSTYPE_H
#define EEFS_MASTER_FOLDER_FSTYPE_H

#include <stdbool.h>

/* True when other machines, or a daemon, write there unseen by this kernel's leases and inotify. */
bool fstype_is_shared(int fd);
/* The number of an inode says that it is the same file. FUSE, FAT's, CIFS and overlays make
 * numbers up, others after each mount: there a file of another's number, size and time (of whole
 * seconds) would pass for it. */
bool fstype_keeps_inodes(int fd);

#endif
