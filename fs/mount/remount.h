/* SPDX-License-Identifier: MIT */
/*
 * remount: `mount -o remount,…` of an existing mount. mount(8) calls mount.eefs with all options of
 * the mount, those of fstab or mountinfo and the new ones. This process sets the options that the
 * kernel enforces, and informs the daemon through its control socket.
 */
#ifndef EEFS_FS_MOUNT_REMOUNT_H
#define EEFS_FS_MOUNT_REMOUNT_H

#include "fs/mount/options.h"

/* The caller's side. 0, or -errno with a sentence; nothing is changed then. */
int remount_run(const struct options *o, struct err *e);

/* The daemon's side: does `list` differ from the running options only in those that can change (ro,
 * rw, and options that the kernel enforces)? *read_only: the requested state, else the present one.
 * -EINVAL names the option. */
int remount_check(const struct options *now, const char *list, bool *read_only, struct err *e);

#endif
