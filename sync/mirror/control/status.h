/* SPDX-License-Identifier: MIT */
/*
 * status: how this mirror stands, for the control socket and, by one thread, for the master.
 *
 * state_stop joins the thread (mirror->stop is set before).
 */
#ifndef EEFS_MIRROR_CONTROL_STATUS_H
#define EEFS_MIRROR_CONTROL_STATUS_H

#include <jansson.h>

struct mirror;
struct state;

struct state *state_new(struct mirror *m);
void state_free(struct state *s);
int state_start(struct state *s);
void state_stop(struct state *s);
/* The whole status object, new reference. */
json_t *state_json(struct mirror *m);

#endif
