/* SPDX-License-Identifier: MIT */
/*
 * status: the mirror's status, for the control socket and, sent by one thread, for the master.
 *
 * status_stop joins the thread (mirror->stop is set before).
 */
#ifndef EEFS_MIRROR_CONTROL_STATUS_H
#define EEFS_MIRROR_CONTROL_STATUS_H

#include <jansson.h>

struct mirror;
struct status;

struct status *status_new(struct mirror *m);
void status_free(struct status *s);
int status_start(struct status *s);
void status_stop(struct status *s);
/* The whole status object, new reference. */
json_t *status_json(struct mirror *m);
/* Takes out of it what only root and the user of the mount may see: names of files, also within
 * reasons; not the list of skipped entries. */
void status_hide_names(json_t *o);
/* The object for everybody: without names and without lists. */
json_t *status_public_json(struct mirror *m);
/* The state files of this machine's importers, new reference. */
json_t *status_imports(struct mirror *m);

#endif
