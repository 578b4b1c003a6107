/* SPDX-License-Identifier: MIT */
/* server: the HTTP server (libmicrohttpd): listening, and the life of a request around routes.h. */
#ifndef EEFS_MASTER_HTTP_SERVER_H
#define EEFS_MASTER_HTTP_SERVER_H

#include "sync/common/err.h"
#include "sync/master/master.h"

struct server;

/* Listens on m->listen ("HOST:PORT"). `insecure`: also on an address that is not loopback. */
int server_start(struct master *m, bool insecure, struct server **ret, struct err *e);
/* Answers the remaining requests and closes. Call it with no poll parked and the committer
 * drained. */
void server_stop(struct server *r);

#endif
