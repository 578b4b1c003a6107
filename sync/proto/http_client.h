/* SPDX-License-Identifier: MIT */
/*
 * http_client: requests to one master: base URL and token, libcurl underneath (libcurl-easy(3)).
 *
 * Three outcomes, as the protocol's rule 3 wants: an answer of eefs-master (returns 0: status, and
 * for a refusal its code), or "unknown" (returns -errno with a sentence): no connection, silence, a
 * broken transfer, or a page of another server (a captive portal, a proxy's error page). Redirects
 * are never followed and TLS certificates are verified. Proxy variables of the environment apply to
 * https (a tunnel, which sees no token) and, with insecure_http, to http. A connection that moves
 * no byte for 10 s (a long poll: wait + 10 s) ends with -ETIMEDOUT.
 *
 * Thread safe: each running request has a handle of its own, taken from a list of idle ones, so
 * connections are kept alive. Make it after daemonising (threads of the resolver).
 */
#ifndef EEFS_PROTO_HTTP_CLIENT_H
#define EEFS_PROTO_HTTP_CLIENT_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sync/common/buf.h"
#include "sync/common/err.h"

struct http;

struct http_config {
    const char *url;    /* http(s)://host[:port][/prefix] */
    const char *token;  /* the secret itself */
    const char *cafile; /* PEM file of the trusted authorities; NULL: the system's */
    bool insecure_http; /* http:// may leave this machine: token and files travel in the clear */
};

/* Copies what it needs. -EINVAL with a sentence: not of that form, or in the clear without
 * insecure_http; -errno: cafile cannot be read. */
int http_new(const struct http_config *c, struct http **ret, struct err *e);
/* Checks the form of an address; *clear: its requests cross a network without encryption. */
int http_check_url(const char *url, bool *clear, struct err *e);
void http_free(struct http *h); /* no request may be running; NULL is fine */
/* From now on every request, also a running one, ends with -ECANCELED, at once. */
void http_stop(struct http *h);
/* Makes running requests check their `cancel` now, not only when data moves. Any thread. */
void http_wake(struct http *h);

/* Takes bytes of a successful (2xx) body as they arrive; non-zero (-errno) ends the request. */
typedef int http_sink_fn(void *arg, const void *data, size_t len);

/* Called while a body is being sent, with the number of bytes sent in this request. */
typedef void http_sent_fn(void *arg, int64_t bytes);

struct http_reply {
    int status;      /* HTTP status of an answer of eefs-master */
    char code[32];   /* WIRE_E_* of a refusal, "" otherwise */
    char text[512];  /* its sentence */
    struct buf body; /* 2xx without sink, or a refusal's */
    char etag[96];   /* without quotes */
    int64_t from;    /* 206: first byte; 200: 0 */
    int64_t have;    /* X-Eefs-Have, -1 when absent */
    bool complete;   /* X-Eefs-Complete */
};

struct http_request {
    const char *method; /* "GET", "HEAD", "POST", "PUT" */
    const char *path;   /* from "/v1" on, with query, already encoded */
    const char *type;   /* content type that a 2xx must bear; NULL: any */
    const void *body;   /* POST: JSON of body_len bytes */
    size_t body_len;
    int body_fd;                            /* PUT: body_size bytes from body_at on */
    int64_t body_at, body_size, body_total; /* body_at > 0 sends Content-Range with total */
    int64_t range_from;                     /* GET: > 0 asks for the rest */
    bool upload_head;                       /* HEAD: X-Eefs-Upload: 1 */
    int wait_s;                             /* long poll */
    long min_rate;   /* bytes a second, averaged over 10 s, below which it is silence; 0: 1 */
    size_t max_body; /* bound of reply.body; 0: 1 MiB */
    http_sink_fn *sink;
    void *sink_arg;
    const atomic_bool *cancel; /* may be NULL: true ends the request with -ECANCELED */
    http_sent_fn *sent;        /* may be NULL */
    void *sent_arg;
};

/*
 * Runs one request. 0: *reply is filled, whatever the status. -ECANCELED: stopped or cancelled.
 * -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -ECONNRESET, -EPROTO (not ours), -EIO, or the sink's
 * error. *reply is to be released in either case.
 */
int http_run(struct http *h, const struct http_request *q, struct http_reply *reply, struct err *e);
void http_reply_release(struct http_reply *r);
/* The body of a 2xx as an object: new reference, NULL with a sentence otherwise. */
json_t *http_reply_json(const struct http_reply *r, struct err *e);

#endif
