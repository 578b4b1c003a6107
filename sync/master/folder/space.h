/* SPDX-License-Identifier: MIT */
/*
 * space: free space on the two filesystems that the master writes: the folder's and the database's.
 * Changes of mirrors are refused before `reserve` bytes are touched, so that the tree can still
 * follow the folder.
 */
#ifndef EEFS_MASTER_FOLDER_SPACE_H
#define EEFS_MASTER_FOLDER_SPACE_H

#include <stddef.h>

#include "sync/master/folder/folder.h"

/* True when `bytes` more would leave less than the reserve on either; a sentence into `why` (may be
 * NULL). Any thread. */
bool space_short(const struct folder *f, int64_t bytes, char *why, size_t cap);

#endif
