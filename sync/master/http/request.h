/* SPDX-License-Identifier: MIT */
/*
 * request: one HTTP request on its way. libmicrohttpd calls the handler with the headers, then with
 * each piece of the body, then without; a suspended request is called once more after resuming.
 */
#ifndef EEFS_MASTER_HTTP_REQUEST_H
#define EEFS_MASTER_HTTP_REQUEST_H

#include <microhttpd.h>

#include "sync/common/buf.h"
#include "sync/master/http/feed.h"
#include "sync/master/db/registry.h"
#include "sync/master/ops/batch.h"

struct upload;
struct request;
struct server;
struct connections;

/* Answers with one of the reply functions, or suspends and is called again. */
typedef enum MHD_Result request_fn(struct request *q);

struct request {
    struct master *m;
    struct server *server;
    struct connections *connections;
    struct MHD_Connection *conn;
    const char *url;
    bool head, put;
    request_fn *run; /* once the body is complete, and after each resume */
    struct mirror who;
    char counted[MIRROR_NAME_CAP]; /* the mirror whose requests it counts among, or "" */
    struct buf body;
    int64_t body_max;         /* bytes that are kept */
    bool too_large, too_many; /* the body, all bodies together */
    /* content */
    struct hash hash;
    struct upload *upload;
    int64_t total, end; /* of an upload: whole size (-1 unknown), where this body ends (-1) */
    int64_t at;
    int error; /* of the upload so far: -errno */
    /* waiting */
    struct parked parked;
    struct feed_query query;
    int64_t deadline;    /* clock_mono_ms(); 0: not a long poll */
    struct batch *batch; /* answered operations */
    bool waiting_ops;
};

/* Content, in content.c: GET and HEAD of one, and the pieces of an upload. */
enum MHD_Result content_get(struct request *q);
enum MHD_Result content_have(struct request *q); /* HEAD with X-Eefs-Upload */
/* First call: MHD_YES and q->upload, or a refusal is queued. */
enum MHD_Result content_put_begin(struct request *q);
void content_put_data(struct request *q, const char *data, size_t len);
enum MHD_Result content_put_end(struct request *q);

#endif
