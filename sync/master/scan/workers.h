/* SPDX-License-Identifier: MIT */
/*
 * workers: the threads that look at the paths of the scan queue: compare the file with its row,
 * hash what changed, hand the observation to the committer. Some of them take events only.
 */
#ifndef EEFS_MASTER_SCAN_WORKERS_H
#define EEFS_MASTER_SCAN_WORKERS_H

#include "sync/master/folder/folder.h"
#include "sync/master/master.h"

/* Makes m->folder->scan_queue and starts the threads; m->watch must be there. */
int workers_start(struct master *m, struct err *e);
/* Starts a full scan unless one runs; notifies the committer of its end. */
void workers_scan(struct master *m);

#endif
