/* SPDX-License-Identifier: MIT */
/*
 * kernel_flags: the options that the kernel enforces (mount(2)): each that is given reaches the
 * kernel, or the mount fails and names it. Those that libfuse and fusermount3 know go through them,
 * so that they also work without root; the others by a remount, before the first request is served.
 */
#ifndef EEFS_FS_MOUNT_KERNEL_FLAGS_H
#define EEFS_FS_MOUNT_KERNEL_FLAGS_H

#include <stdbool.h>

#include "sync/common/err.h"

struct kernel_flags {
    unsigned long on, off; /* MS_… that were asked for, and whose opposite was */
    char *contexts;        /* "context=…,rootcontext=…" or NULL; lives until exit */
};

/* True when `item` of an -o list is such an option; the last of two opposites counts. */
bool kernel_flags_take(struct kernel_flags *f, const char *item);

/* Adds what libfuse is to mount with to its option list. */
void kernel_flags_words(const struct kernel_flags *f, char **list);

/* After the mount: sets the others, and looks whether all are in force. 0, or -errno with a
 * sentence that names the option. */
int kernel_flags_apply(const struct kernel_flags *f, const char *point, struct err *e);

/* For a mount that is served: changes what is given and leaves the other flags as they are. */
int kernel_flags_remount(const struct kernel_flags *f, const char *point, struct err *e);

#endif
