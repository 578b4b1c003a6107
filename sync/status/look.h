/* SPDX-License-Identifier: MIT */
/*
 * look: what eefs runs on this machine, and how it stands.
 */
#ifndef EEFS_STATUS_LOOK_H
#define EEFS_STATUS_LOOK_H

#include <jansson.h>
#include <stdbool.h>

/*
 * New reference: {"state","mounts":[…],"masters":[…],"imports":[…]}. Each element bears "state",
 * "reason", "action" and what its program told. With `n` paths only the mounts that hold one of
 * them are looked at. With `list` ("conflicts" or "quarantine"; NULL: none) each mount also bears
 * that list. Each socket is given 2 s. *code is the exit code: the worst of all, 3 when
 * nothing was found or something does not answer.
 */
json_t *look(const char *rundir, char *const *paths, int n, const char *list, int *code);

#endif
