/* SPDX-License-Identifier: MIT */
/*
 * session: the FUSE connection: negotiation with the kernel, mounting, the loop, and the end. Main
 * thread, except where noted; functions return 0 or -errno with a sentence.
 */
#ifndef EEFS_FS_MOUNT_SESSION_H
#define EEFS_FS_MOUNT_SESSION_H

#include "fs/file/fs.h"
#include "fs/mount/options.h"

/* Makes fs->se; mounts nothing yet. */
int session_new(struct fs *fs, const struct options *o, struct err *e);

/* Mounts on `point`. */
int session_mount(struct fs *fs, const struct options *o, const char *point, struct err *e);

/*
 * Serves requests until umount or SIGTERM, SIGINT, SIGHUP. Calls ready(arg) from a thread of its
 * own once the kernel's first request was answered. Returns 0 after an umount, the signal's number,
 * or -errno.
 */
int session_loop(struct fs *fs, const char *point, void (*ready)(void *arg), void *arg);

/* Unmounts if still mounted, so that no program waits for answers. */
void session_unmount(struct fs *fs);
void session_free(struct fs *fs);

#endif
