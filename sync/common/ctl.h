/* SPDX-License-Identifier: MIT */
/*
 * ctl: control sockets. A program that runs for long listens on a Unix socket in the run directory
 * (see rundir.h); a request is one line of JSON, an answer one or more lines of JSON.
 *
 *   request   {"cmd":"status", …}\n
 *   answer    {"ok":true, …}\n   or   {"ok":false,"code":"<short>","error":"<sentence>"}\n
 *
 * A stream (cmd "watch") continues with further lines until either side closes. Lines are at most
 * CTL_LINE_MAX bytes. JSON by jansson.
 *
 * A peer that is neither root nor the server's user may have 16 connections, all such peers 128 of
 * the 256 in all. Such a peer may send CTL_REQUEST_MAX bytes per request, has 10 s to complete a
 * request and 60 s to begin the next, and is served 50 requests per second. So no local user can
 * exhaust the program or shut out the others.
 */
#ifndef EEFS_COMMON_CTL_H
#define EEFS_COMMON_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sync/common/err.h"

#define CTL_LINE_MAX    (4 * 1024 * 1024)
#define CTL_REQUEST_MAX (32 * 1024) /* from a peer that is not trusted: a few paths */

/* --- client: one thread per connection --- */

struct ctl;

/* Connects within timeout_ms. -ENOENT / -ECONNREFUSED: nobody listens; -ETIMEDOUT: silent. */
int ctl_connect(const char *socket_path, int64_t timeout_ms, struct ctl **ret, struct err *e);
void ctl_close(struct ctl *c);
/* The socket, for poll(2). Check ctl_recv with timeout 0 first: lines may be buffered. */
int ctl_fd(struct ctl *c);

/* The process that listens there; 0: not known. */
pid_t ctl_peer_pid(struct ctl *c);

/* Sends one line; does not take over the reference. */
int ctl_send(struct ctl *c, json_t *request, int64_t timeout_ms, struct err *e);
/* Receives one line; *ret is a new reference. -ETIMEDOUT, -EPIPE (peer closed), -EPROTO. */
int ctl_recv(struct ctl *c, int64_t timeout_ms, json_t **ret, struct err *e);

/*
 * connect, send, one answer, close, all within timeout_ms. An answer with "ok":false becomes
 * -EREMOTEIO with its sentence in e; *ret is then the answer all the same (may be NULL to ignore
 * it).
 */
int ctl_call(const char *socket_path, json_t *request, int64_t timeout_ms, json_t **ret,
             struct err *e);

/* --- server: a thread that accepts, and one thread for each connection --- */

struct ctl_server;
struct ctl_conn;

/*
 * Called in the connection's thread for each request. Answers with ctl_reply (any number of
 * times). `peer_uid` is from SO_PEERCRED. The request belongs to the server.
 */
typedef void ctl_handler(void *arg, struct ctl_conn *conn, json_t *request, uid_t peer_uid);

/*
 * Listens on socket_path (mode `mode`), replacing a socket that nobody listens on any more;
 * -EADDRINUSE when somebody does. At most 256 connections; more are closed at once.
 */
int ctl_server_start(const char *socket_path, mode_t mode, ctl_handler *handler, void *arg,
                     struct ctl_server **ret, struct err *e);
/* Closes everything, waits for the connection threads, unlinks the socket. NULL is fine. */
void ctl_server_stop(struct ctl_server *s);

/* The peer, from SO_PEERCRED and SO_PEERGROUPS. Valid as long as the connection. */
struct ctl_peer {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* further ones */
    size_t n_groups;
    bool trusted; /* root or the server's own user */
};
const struct ctl_peer *ctl_conn_peer(const struct ctl_conn *conn);

/* Sends one line; takes over `line` (may be NULL on out of memory). 0, or -EPIPE when the peer is
 * gone or does not read for 5 s. */
int ctl_reply(struct ctl_conn *conn, json_t *line);
/* {"ok":false,"code":code,"error":text} */
int ctl_reply_error(struct ctl_conn *conn, const char *code, const char *text);
/* True once the server is stopping or the peer has closed: streams must end. */
bool ctl_conn_closed(struct ctl_conn *conn);

#endif
