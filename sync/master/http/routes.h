/* SPDX-License-Identifier: MIT */
/*
 * routes: the wire (sync/proto/wire.h): authorisation, dispatch, and the answers that no other unit
 * gives.
 */
#ifndef EEFS_MASTER_HTTP_ROUTES_H
#define EEFS_MASTER_HTTP_ROUTES_H

#include "sync/master/http/request.h"

/* The headers of q are there: chooses q->run for when the body is complete, or queues a refusal now,
 * before any body is sent. Only within the request's handler. */
enum MHD_Result route(struct request *q, const char *method);

#endif
