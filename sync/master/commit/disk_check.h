/* SPDX-License-Identifier: MIT */
/* disk_check: tries what failed on the master's disks (recheck.h): the database by its connections
 * and the committer; what is in the state folder and in the folder of staging and kept versions by
 * reading it and by writing beside it; what is served by reading it and by writing to staging. */
#ifndef EEFS_MASTER_DISK_CHECK_H
#define EEFS_MASTER_DISK_CHECK_H

#include <stdbool.h>

/* True: the disk is well at `path`. For recheck_start(), arg: struct master; the committer runs. */
bool disk_check(void *arg, const char *path);

#endif
