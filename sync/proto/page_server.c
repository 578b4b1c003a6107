/* SPDX-License-Identifier: MIT */
#include "sync/proto/page_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define PER_ADDRESS_MAX 32
#define IDLE_S          10
#define POOL_BYTES      8192
#define SOCKETS_MAX     2

struct page_server {
    page_fn *fn;
    void *arg;
    size_t n;
    struct MHD_Daemon *daemons[SOCKETS_MAX];
};

static enum MHD_Result answer(struct MHD_Connection *conn, unsigned status, const char *type,
                              const struct buf *body)
{
    struct MHD_Response *resp = MHD_create_response_from_buffer(
        body->len, (void *)(uintptr_t)(body->data ? body->data : ""), MHD_RESPMEM_MUST_COPY);
    enum MHD_Result r;

    if (!resp)
        return MHD_NO;
    MHD_add_response_header(resp, "Content-Type", type);
    MHD_add_response_header(resp, "Cache-Control", "no-store");
    MHD_add_response_header(resp, "Connection", "close");
    r = MHD_queue_response(conn, status, resp);
    MHD_destroy_response(resp);
    return r;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *conn, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_size, void **con_cls)
{
    struct page_server *s = cls;
    const char *type = "text/plain";
    struct buf body = BUF_INIT;
    unsigned status = 405;
    enum MHD_Result r;

    (void)version, (void)data, (void)data_size, (void)con_cls;
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        status = s->fn(s->arg, url, &body, &type);
    r = answer(conn, status, type, &body);
    buf_release(&body);
    return r;
}

int page_server_start(const int *fds, size_t n, page_fn *fn, void *arg, struct page_server **ret,
                      struct err *e)
{
    struct page_server *s = xcalloc(1, sizeof(*s));
    int r = 0;

    *s = (struct page_server){.fn = fn, .arg = arg};
    for (size_t i = 0; i < n; i++) {
        struct MHD_Daemon *d = NULL;

        if (r == 0 && s->n < SOCKETS_MAX)
            d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, handle, s,
                                 MHD_OPTION_LISTEN_SOCKET, fds[i], MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                                 (unsigned)PER_ADDRESS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                 (size_t)POOL_BYTES, MHD_OPTION_END);
        if (d) {
            s->daemons[s->n++] = d;
        } else {
            r = r < 0 ? r : err_set(e, EIO, "cannot start the HTTP server for monitors");
            close(fds[i]);
        }
    }
    if (r < 0)
        page_server_stop(s);
    else
        *ret = s;
    return r;
}

void page_server_stop(struct page_server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        MHD_stop_daemon(s->daemons[i]);
    free(s);
}
