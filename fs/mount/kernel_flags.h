/* SPDX-License-Identifier: MIT */
/*
 * kernel_flags: the options that the kernel enforces (mount(2)): each given option takes effect, or
 * the mount fails and names it. Options that libfuse and fusermount3 know go through them, so that
 * they also work without root; the others are set by a remount, before the first request is served.
 */
#ifndef EEFS_FS_MOUNT_KERNEL_FLAGS_H
#define EEFS_FS_MOUNT_KERNEL_FLAGS_H

#include <stdbool.h>

#include "sync/common/err.h"

struct kernel_flags {
    unsigned long on, off; /* MS_… to set, and to clear */
    char *contexts;        /* "context=…,rootcontext=…" or NULL; lives until exit */
};

/* True when `item` of an -o list is such an option; the last of two opposites counts. */
bool kernel_flags_take(struct kernel_flags *f, const char *item);

/* Adds the options that libfuse mounts with to its option list. */
void kernel_flags_words(const struct kernel_flags *f, char **list);

/* After the mount: sets the others, and checks that all are in force. 0, or -errno with a sentence
 * that names the option. */
int kernel_flags_apply(const struct kernel_flags *f, const char *point, struct err *e);

/* For an existing mount: changes the given flags and leaves the others. 0, or -errno with a
 * sentence. */
int kernel_flags_remount(const struct kernel_flags *f, const char *point, struct err *e);

#endif
