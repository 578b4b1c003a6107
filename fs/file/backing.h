/* SPDX-License-Identifier: MIT */
/*
 * backing: open files that hold a node's bytes. One whose last handle is closed stays open for the
 * next OPEN, as "idle", until so many others were used after it that the list is full. The node
 * table's lock guards all of this.
 */
#ifndef EEFS_FS_FILE_BACKING_H
#define EEFS_FS_FILE_BACKING_H

#include <stdbool.h>
#include <stddef.h>

#include "sync/common/hash.h"
#include "sync/mirror/store/store.h"

/* An open file that several requests may read at once. */
struct file {
    int fd;
    unsigned refs;
    struct hash hash;         /* the object that it is; none: a draft's file, which is never idle */
    struct store_stamp stamp; /* of that object */
    struct file **slot;       /* of an idle one: where its owner finds it; else NULL */
    struct file *newer, *older; /* in the list */
};

/* Begins zeroed. */
struct idle_files {
    struct file *newest, *oldest;
    size_t n, max; /* max: a half, or less, of the descriptors that there may be */
};

/* Wraps fd with one reference; unref closes it with the last one. NULL is fine. */
struct file *file_new(int fd);
struct file *file_ref_locked(struct file *f);
void file_unref_locked(struct file *f);

/* Puts f, an object, into *slot, which is NULL; takes over the caller's reference. May close another
 * idle file, or f itself, and set its slot to NULL. */
void idle_put_locked(struct idle_files *l, struct file **slot, struct file *f);
/* The file of *slot with its reference, or NULL; *slot is NULL afterwards. */
struct file *idle_take_locked(struct idle_files *l, struct file **slot);
/* Closes the file of *slot. */
void idle_drop_locked(struct idle_files *l, struct file **slot);
/* A descriptor has the lowest free number: when that of a new one shows that few are left for those
 * in use, half of the idle ones are closed. */
void idle_yield_locked(struct idle_files *l, int fd);
/* Closes all but the `n` that were used last. */
void idle_trim_locked(struct idle_files *l, size_t n);

#endif
