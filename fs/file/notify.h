/* SPDX-License-Identifier: MIT */
/*
 * notify: makes the kernel drop outdated caches. The kernel caches entries, "not found",
 * attributes, listings and bytes for a day; the notifications keep these caches correct.
 *
 * Notifications are sent from the mirror's change thread and from one thread here, never from a
 * request's handler and never with a lock held: an inval_entry waits for requests in the same
 * folder. That wait also gives the order that listings need: see notify.c.
 */
#ifndef EEFS_FS_FILE_NOTIFY_H
#define EEFS_FS_FILE_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fs;
struct notify;

int notify_new(struct fs *fs, struct notify **ret);
void notify_free(struct notify *n); /* NULL is fine */

/* mirror_change_fn: the view of these paths may have changed. `arg` is the struct fs. */
void notify_changed(void *arg, const char *const *paths, size_t n);

/* Makes notify's own thread compare one path. Never blocks. */
void notify_path(struct notify *n, const char *path);

/* Makes that thread drop the kernel's cache of a path's name, or of a node's bytes. Never
 * blocks. */
void notify_forget(struct notify *n, const char *path);
void notify_bytes(struct notify *n, uint64_t ino);

/* Send the two notifications to the kernel; without effect once the session has ended (fs.h,
 * `device`). off: first byte to drop; -1: only attributes. */
void notify_inode(struct fs *fs, uint64_t ino, off_t off);
void notify_entry(struct fs *fs, uint64_t dir, const char *name);
/* Puts bytes into the kernel's pages of a file, which is at least so long then. True when it took
 * them. Not while a READ of that node waits for us. */
bool notify_store(struct fs *fs, uint64_t ino, const void *data, size_t len, off_t off);

#endif
