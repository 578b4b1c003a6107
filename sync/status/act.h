/* SPDX-License-Identifier: MIT */
/*
 * act: the requests of eefs-status to mounts: wait for changes, and resolve conflicts and refused
 * changes.
 */
#ifndef EEFS_STATUS_ACT_H
#define EEFS_STATUS_ACT_H

#include <jansson.h>
#include <stdint.h>

/*
 * Sends `cmd` ("wait", "retry", "discard", "forget", "renew" or "salvage", which copies into the
 * folder `into` unless that is NULL) to the mounts that look() found, for each of the absolute
 * `paths` that a mount holds, or for the whole mount when n is 0; prints the results. All mounts
 * are asked at the same time, so that a hanging one delays no other: it is reported after
 * timeout_ms (of "wait"; else 0) and 10 s. Returns the exit code, the worst of all: 0, 1 when a
 * request was not fulfilled, 3 when a mount does not answer.
 */
int act(json_t *all, const char *cmd, char *const *paths, int n, int64_t timeout_ms,
        const char *into);

#endif
