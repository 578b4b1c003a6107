/* SPDX-License-Identifier: MIT */
/*
 * connections: limits for strangers' use of the HTTP server.
 *
 *   what                                                       bound
 *   ---------------------------------------------------------  -----------------------------------
 *   headers of the first request                               10 s after the connection
 *   between two requests                                       120 s, however many bytes trickle in
 *   body                                                       20 s, and 1 s more for each KiB
 *   connections of one address that have not sent headers      64, after a second; then the oldest
 *                                                              are closed
 *   connections in all                                         3/4 of the limit: the oldest that
 *                                                              asks for nothing is closed
 *   an answer "unknown token", from the 10th of an address     waits for a second, 256 of them at
 *   within a minute on                                         once
 *
 * An address is an IPv4 address or an IPv6 /64. Bodies are read only of requests that a token
 * allows (routes.c). Thread safe; a thread of its own looks at the deadlines.
 */
#ifndef EEFS_MASTER_HTTP_CONNECTIONS_H
#define EEFS_MASTER_HTTP_CONNECTIONS_H

#include <microhttpd.h>
#include <stdbool.h>

#include "sync/common/err.h"

struct connections;

/* `limit`: connections that the server takes, all its threads together. */
int connections_start(unsigned limit, struct connections **ret, struct err *e);
/* Resumes all delayed connections and delays no more; before the server is stopped. */
void connections_stop(struct connections *c);
void connections_free(struct connections *c);

/* For MHD_OPTION_NOTIFY_CONNECTION, with the struct connections as `cls`. */
void connections_notify(void *cls, struct MHD_Connection *conn, void **context,
                        enum MHD_ConnectionNotificationCode how);

/* The request's headers are there; n more bytes of its body; all of it; it is answered. */
void connections_headers(struct connections *c, struct MHD_Connection *conn);
void connections_body(struct connections *c, struct MHD_Connection *conn, size_t n);
void connections_whole(struct connections *c, struct MHD_Connection *conn);
void connections_answered(struct connections *c, struct MHD_Connection *conn);

/* Counts a wrong token. True: the connection is suspended for a second and its handler is called
 * again then; false: answer now. */
bool connections_delay(struct connections *c, struct MHD_Connection *conn);

#endif
