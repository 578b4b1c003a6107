/* SPDX-License-Identifier: MIT */
/*
 * intruder: records requests without a valid token: a count, a log line with the address at most
 * once a minute, and both in status. Thread safe.
 */
#ifndef EEFS_MASTER_HTTP_INTRUDER_H
#define EEFS_MASTER_HTTP_INTRUDER_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/socket.h>

struct intruder;

struct intruder *intruder_new(void);
void intruder_free(struct intruder *i);
/* One more. `given`: a token came with it; from: the other end, or NULL. */
void intruder_count(struct intruder *i, const struct sockaddr *from, bool given);
/* {"count","last","ms_ago"}; new reference. */
json_t *intruder_report(struct intruder *i);

#endif
