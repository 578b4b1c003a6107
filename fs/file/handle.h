/* SPDX-License-Identifier: MIT */
/*
 * handle: an open file of a program. fuse_file_info.fh points to it from OPEN or CREATE until
 * RELEASE, which frees it.
 */
#ifndef EEFS_FS_FILE_HANDLE_H
#define EEFS_FS_FILE_HANDLE_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/file/close_owner.h"

struct node;

struct handle {
    struct node *node; /* holds a reference */
    bool writable;
    struct close_owner opener;
    /* guarded by the node table's lock */
    bool wrote; /* since its last FLUSH */
    bool ever;  /* wrote anything */
};

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

#endif
