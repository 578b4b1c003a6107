/* SPDX-License-Identifier: MIT */
/* check: one look at each server of a pool. */
#ifndef EEFS_DNS_CHECK_H
#define EEFS_DNS_CHECK_H

#include "sync/dns/pool.h"
#include "sync/proto/probe.h"

/*
 * Asks every server for the page of `how` (its address is set here), all at the same time. A check
 * that fails is repeated once at once: a lost packet is no failure. The page may be JSON with a
 * "weight"; without one it is 100. Logs servers that go up or down.
 */
void check_all(struct pool *p, const struct probe *how);

#endif
