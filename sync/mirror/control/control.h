/* SPDX-License-Identifier: MIT */
/*
 * control: the socket RUNDIR/mount-<instance>.sock, which answers eefs-status, eefs-sqlimport and a
 * person, in threads of its own (sync/common/ctl.h). The requests: see control.c.
 */
#ifndef EEFS_MIRROR_CONTROL_CONTROL_H
#define EEFS_MIRROR_CONTROL_CONTROL_H

#include "sync/common/err.h"

struct mirror;

/* 0 or -errno with e. */
int control_start(struct mirror *m, struct err *e);
void control_stop(struct mirror *m);

#endif
