/* SPDX-License-Identifier: MIT */
#include "sync/master/http/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/listen.h"
#include "sync/master/db/reports.h"
#include "sync/master/folder/upload.h"
#include "sync/master/http/connections.h"
#include "sync/master/http/reply.h"
#include "sync/master/http/request.h"
#include "sync/master/http/routes.h"
#include "sync/proto/wire.h"

#define THREADS         4
#define CONNECTIONS_MAX 20000
#define IDLE_S          120
#define POOL_BYTES      (64 * 1024)
#define BODIES_MAX      (256 << 20) /* bytes of bodies that are held in memory at once */

struct server {
    struct MHD_Daemon *daemon;
    struct connections *connections;
    struct master *m;
    _Atomic int64_t bodies; /* bytes */
};

/* A body that is not wanted is thrown away, and refused when it is over. */
static void take_body(struct request *q, const char *data, size_t len)
{
    struct server *r = q->server;

    connections_body(r->connections, q->conn, len);
    if (q->put) {
        content_put_data(q, data, len);
    } else if ((int64_t)(q->body.len + len) > q->body_max) {
        q->too_large = true;
    } else if (atomic_fetch_add(&r->bodies, (int64_t)len) + (int64_t)len > BODIES_MAX) {
        atomic_fetch_sub(&r->bodies, (int64_t)len);
        q->too_many = true;
    } else {
        buf_append(&q->body, data, len);
    }
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *conn, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_data_size, void **con_cls)
{
    struct server *r = cls;
    struct request *q = *con_cls;

    (void)version;
    if (!q) {
        q = *con_cls = xcalloc(1, sizeof(*q));
        q->m = r->m;
        q->server = r;
        q->connections = r->connections;
        q->conn = conn;
        q->url = url;
        connections_headers(r->connections, conn);
        return route(q, method);
    }
    q->url = url;
    if (*upload_data_size > 0) {
        take_body(q, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    connections_whole(r->connections, conn);
    if (q->too_large)
        return reply_error(q, 413, WIRE_E_TOO_LARGE, "the body is larger than it may be");
    if (q->too_many)
        return reply_too_many(q);
    return q->run ? q->run(q) : MHD_NO;
}

static void completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                      enum MHD_RequestTerminationCode how)
{
    struct request *q = *con_cls;
    int64_t have;

    (void)cls, (void)how;
    if (!q)
        return;
    connections_answered(q->connections, conn);
    if (*q->counted)
        reports_leave(q->m->reports, q->counted);
    atomic_fetch_sub(&q->server->bodies, (int64_t)q->body.len);
    if (q->upload)
        upload_end(q->upload, false,
                   &have); /* the connection broke: the received part stays for resuming */
    batch_free(q->batch);
    mirror_release(&q->who);
    buf_release(&q->body);
    free(q);
    *con_cls = NULL;
}

static int open_socket(const char *listen_at, bool insecure, struct err *e)
{
    return listen_tcp("--listen", listen_at,
                      insecure ? NULL
                               : "tokens and files would cross the network unencrypted; put a TLS "
                                 "proxy in front, or give --insecure-http on a network that you "
                                 "trust",
                      e);
}

static unsigned connection_limit(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
        return 500;
    if (lim.rlim_cur < lim.rlim_max) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
        getrlimit(RLIMIT_NOFILE, &lim);
    }
    if (lim.rlim_cur < 400)
        return THREADS * 10;
    return lim.rlim_cur > CONNECTIONS_MAX * 2 ? CONNECTIONS_MAX : (unsigned)(lim.rlim_cur / 2);
}

int server_start(struct master *m, bool insecure, struct server **ret, struct err *e)
{
    struct server *r = xcalloc(1, sizeof(*r));
    unsigned limit = connection_limit();
    int rc, fd = open_socket(m->listen, insecure, e);

    r->m = m;
    rc = fd < 0 ? fd : connections_start(limit, &r->connections, e);
    if (rc < 0)
        goto fail;
    r->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, r,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
        MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_NOTIFY_CONNECTION,
        connections_notify, r->connections, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
        MHD_OPTION_END);
    if (r->daemon) {
        *ret = r;
        return 0;
    }
    rc = err_set(e, EIO, "cannot start the HTTP server on '%s'", m->listen);
    connections_stop(r->connections);
fail:
    if (fd >= 0)
        close(fd);
    connections_free(r->connections);
    free(r);
    return rc;
}

void server_stop(struct server *r)
{
    if (!r)
        return;
    connections_stop(r->connections);
    MHD_stop_daemon(r->daemon);
    connections_free(r->connections);
    free(r);
}
