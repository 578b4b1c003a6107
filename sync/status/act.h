/* SPDX-License-Identifier: MIT */
/*
 * act: what eefs-status asks mounts to do: wait for their changes, and see to what needs a person.
 */
#ifndef EEFS_STATUS_ACT_H
#define EEFS_STATUS_ACT_H

#include <jansson.h>
#include <stdint.h>

/*
 * Sends `cmd` ("wait", "retry", "discard", "forget", "renew" or "salvage", which copies into the
 * folder `into` unless that is NULL) to the mounts of what look() found,
 * for each of the absolute `paths` that a mount holds, or for the whole mount when n is 0; says
 * what came of it. All mounts are asked at the same time, so that one that hangs holds up no other:
 * it is named after timeout_ms (of "wait"; else 0) and 10 s. Returns the exit code, the worst of
 * all: 0, 1 when something is not done, 3 when a mount does not answer.
 */
int act(json_t *all, const char *cmd, char *const *paths, int n, int64_t timeout_ms,
        const char *into);

#endif
