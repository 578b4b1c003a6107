/* SPDX-License-Identifier: MIT */
/* nagios: one line for Nagios, Icinga and their kin (Monitoring Plugins' guidelines). */
#ifndef EEFS_STATUS_NAGIOS_H
#define EEFS_STATUS_NAGIOS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Prints "EEFS STATE - sentence | performance data" to f: lag, pending changes and cache of each
 * mount and of each mirror of a master. `code` is look()'s exit code; a lag over warn_ms or crit_ms
 * (0: no such limit) raises it to 1 or 2. Returns the plugin's exit code: 0 OK, 1 WARNING, 2
 * CRITICAL, 3 UNKNOWN.
 */
int nagios(json_t *all, int code, int64_t warn_ms, int64_t crit_ms, FILE *f);

#endif
