/* SPDX-License-Identifier: MIT */
/*
 * health: whether this mirror is fit to serve visitors, looked at every few seconds in a thread of
 * its own, and the pages that say so, at RUNDIR/health-<instance>.sock and, with the option
 * `monitor`, on a loopback port:
 *
 *   /healthz   200 when it is fit, else 503: {"state":"OK","weight":100}; no names and no reasons
 *   /status    the status object with "health", less what only root may see
 *   /metrics   the same for Prometheus
 */
#ifndef EEFS_MIRROR_CONTROL_HEALTH_H
#define EEFS_MIRROR_CONTROL_HEALTH_H

#include "sync/common/err.h"

struct mirror;
struct health;

/* 0 or -errno with e. */
int health_start(struct mirror *m, struct health **ret, struct err *e);
void health_stop(struct health *h); /* joins and frees; NULL is fine */

#endif
