/* SPDX-License-Identifier: MIT */
/*
 * status: the control socket RUNDIR/master-<first 8 digits of the id>.sock:
 *   {"cmd":"status"}   how the master stands, its counts, its mirrors, and the paths of notices.h
 *   {"cmd":"restore","path":P,"seq":N}  restore.h (root and the serving user only)
 *   {"cmd":"confirm"}  the held deletions are intentional (root and the serving user only)
 */
#ifndef EEFS_MASTER_CONTROL_STATUS_H
#define EEFS_MASTER_CONTROL_STATUS_H

#include "sync/common/err.h"
#include "sync/master/master.h"

struct status;

int status_start(struct master *m, const char *rundir, struct status **ret, struct err *e);
void status_stop(struct status *s);

#endif
