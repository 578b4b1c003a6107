/* SPDX-License-Identifier: MIT */
/*
 * remount: `mount -o remount,…` of a mount that is served. mount(8) calls this program with all
 * options of the mount, those of fstab or mountinfo and the new ones; what the kernel enforces is
 * set by us, and the daemon is told by its control socket.
 */
#ifndef EEFS_FS_MOUNT_REMOUNT_H
#define EEFS_FS_MOUNT_REMOUNT_H

#include "fs/mount/options.h"

/* The caller's side. 0, or -errno with a sentence; then nothing is changed. */
int remount_run(const struct options *o, struct err *e);

/* The daemon's side: does `list` differ from what runs only in what can be changed, ro and rw and
 * what the kernel enforces? *read_only: as asked for, else as it was. -EINVAL names the option. */
int remount_check(const struct options *now, const char *list, bool *read_only, struct err *e);

#endif
