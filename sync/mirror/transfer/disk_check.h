/* SPDX-License-Identifier: MIT */
/*
 * disk_check: tests whether this machine's disk works again after a failure.
 */
#ifndef EEFS_MIRROR_TRANSFER_DISK_CHECK_H
#define EEFS_MIRROR_TRANSFER_DISK_CHECK_H

#include <stdbool.h>

/* True when the disk works at `path`; for recheck_start(), arg: the mirror. */
bool disk_check(void *arg, const char *path);

#endif
