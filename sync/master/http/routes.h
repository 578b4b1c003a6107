/* SPDX-License-Identifier: MIT */
/* routes: the wire (sync/proto/wire.h) over libmicrohttpd: authorisation, dispatch, and the
 * answers. */
#ifndef EEFS_MASTER_HTTP_ROUTES_H
#define EEFS_MASTER_HTTP_ROUTES_H

#include "sync/common/err.h"
#include "sync/master/master.h"

struct routes;

/* Listens on m->listen ("HOST:PORT"). */
int routes_start(struct master *m, bool insecure, struct routes **ret, struct err *e);
/* Answers the remaining requests and closes. Call it with no poll parked and the committer
 * drained. */
void routes_stop(struct routes *r);

#endif
