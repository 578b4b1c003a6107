/* SPDX-License-Identifier: MIT */
/* examine: one look at one path (see scan_queue.h). Called by the scan workers. */
#ifndef EEFS_MASTER_SCAN_EXAMINE_H
#define EEFS_MASTER_SCAN_EXAMINE_H

#include "sync/master/master.h"

void examine(struct master *m, const char *path, int flags);

#endif
