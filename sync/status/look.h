/* SPDX-License-Identifier: MIT */
/*
 * look: finds the mounts, masters and importers of this machine, and their states.
 */
#ifndef EEFS_STATUS_LOOK_H
#define EEFS_STATUS_LOOK_H

#include <jansson.h>
#include <stdbool.h>

#define LOOK_SCHEMA 1 /* of the result: packaging/monitoring/eefs-status.schema.json */

/*
 * New reference: {"schema","version","state","worst","mounts":[…],"masters":[…],"imports":[…]}.
 * Each element bears "state", "reason", "action" and its program's report; "worst" is
 * {"kind","name","reason","action"} of the one that decides the state. Lines of fstab that are not
 * mounted are among the mounts. With `n` paths only the mounts that hold one of them
 * are looked at. With `list` ("conflicts" or "quarantine"; NULL: none) each mount also bears that
 * list. All sockets are asked at the same time, each is given 2 s (and 2 s for the list), so that
 * the whole ends within 5 s however many daemons hang. *code is the exit code: the worst of all, 3
 * when none was found or one does not answer. Text is valid UTF-8; it is escaped where it is
 * printed (printable.h).
 */
json_t *look(const char *rundir, char *const *paths, int n, const char *list, int *code);

#endif
