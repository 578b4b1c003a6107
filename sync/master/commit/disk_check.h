/* SPDX-License-Identifier: MIT */
/* disk_check: retries failed paths on the master's disks (recheck.h): the database by its
 * connections and the committer; files in the state folder and in the folder of staging and kept
 * versions by reading them and by writing beside them; served files by reading them and by writing
 * to staging. */
#ifndef EEFS_MASTER_DISK_CHECK_H
#define EEFS_MASTER_DISK_CHECK_H

#include <stdbool.h>

/* True when the disk works at `path`. For recheck_start(), arg: struct master; the committer
 * runs. */
bool disk_check(void *arg, const char *path);

#endif
