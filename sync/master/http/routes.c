/* SPDX-License-Identifier: MIT */
#include "sync/master/http/routes.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/master/folder/folder.h"
#include "sync/master/commit/committer.h"
#include "sync/master/http/intruder.h"
#include "sync/master/http/connections.h"
#include "sync/master/db/readers.h"
#include "sync/master/db/reports.h"
#include "sync/master/http/request.h"
#include "sync/master/http/reply.h"
#include "sync/master/folder/upload.h"
#include "sync/master/commit/fit.h"
#include "sync/master/folder/visible.h"
#include "sync/master/folder/volume.h"
#include "sync/master/db/head.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

#define THREADS         4
#define CONNECTIONS_MAX 20000
#define IDLE_S          120
#define POOL_BYTES      (64 * 1024)
#define STATE_MAX       (256 * 1024) /* bytes of a report */
#define BODIES_MAX      (256 << 20)  /* bytes of bodies that are held in memory at once */

struct routes {
    struct MHD_Daemon *daemon;
    struct connections *connections;
    struct master *m;
    _Atomic int64_t bodies; /* bytes */
};

/* --- answers --- */

/* --- handlers --- */

static const char *argument(struct request *q, const char *name)
{
    return MHD_lookup_connection_value(q->conn, MHD_GET_ARGUMENT_KIND, name);
}

/* False when it is there and no number of min..max; cut to max when larger. */
static bool number(struct request *q, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    const char *v = argument(q, name);
    char *end;
    long long n;

    if (!v)
        return true;
    errno = 0;
    n = strtoll(v, &end, 10);
    if (errno || *end || end == v || n < min)
        return false;
    *ret = n > max ? max : n;
    return true;
}

/* Tops of volumes that the mirror knows. */
static void tell_volumes(struct request *q, json_t *o)
{
    struct strlist all = {0}, known = {0};

    volumes_list(q->m->folder->volumes, &all);
    for (size_t i = 0; i < all.n; i++)
        if (scope_shows(&q->who.scope, all.v[i]) && !visible_hides(q->m->folder, all.v[i]))
            strlist_add(&known, all.v[i]);
    json_set_paths(o, "volumes", &known);
    strlist_release(&known);
    strlist_release(&all);
}

static enum MHD_Result run_hello(struct request *q)
{
    struct master *m = q->m;
    json_t *o = json_object(), *exclude = json_array();
    const struct strlist *patterns = &m->folder->exclude->list;

    json_object_set_new(o, "protocol", json_integer(WIRE_PROTOCOL));
    json_object_set_new(o, "version", json_string(EEFS_VERSION));
    json_object_set_new(o, "master_id", json_string(m->id));
    json_object_set_new(o, "timeline", json_string(m->timeline));
    json_object_set_new(o, "head", json_integer(head_seq(m->head)));
    json_object_set_new(o, "name", json_string(q->who.name));
    json_object_set_new(o, "scopegen", json_integer(q->who.scopegen));
    scope_to_json(&q->who.scope, o);
    for (size_t i = 0; i < patterns->n; i++)
        json_array_append_new(exclude, json_string(patterns->v[i]));
    json_object_set_new(o, "exclude", exclude);
    tell_volumes(q, o);
    json_object_set_new(o, "max_inline", json_integer(WIRE_INLINE_MAX));
    json_object_set_new(o, "max_ops", json_integer(WIRE_OPS_MAX));
    json_object_set_new(o, "max_body", json_integer(WIRE_BODY_MAX));
    json_object_set_new(o, "folder_times", json_true());
    json_object_set_new(o, "time", json_integer(clock_wall_ns()));
    return reply_json(q, 200, o);
}

static enum MHD_Result reset(struct request *q)
{
    return reply_error(q, 409, WIRE_E_RESET, "that cursor is unknown or stale: list again");
}

static int authenticate(struct request *q)
{
    const char *v = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Authorization");
    struct db *db;
    int r;

    if (!v || strncasecmp(v, "Bearer ", 7) != 0 || strlen(v) > 512)
        return 0;
    db = readers_get(q->m->readers);
    mirror_release(&q->who);
    r = db ? registry_find(db, v + 7, &q->who) : -EIO;
    readers_put(q->m->readers, db);
    return r;
}

static int page(struct request *q, struct buf *out, struct cursor *next, size_t *n)
{
    struct db *db = readers_get(q->m->readers);
    int r = db ? feed_page(q->m, db, &q->who, &q->query, out, next, n) : -EIO;

    readers_put(q->m->readers, db);
    return r;
}

static enum MHD_Result run_changes(struct request *q)
{
    struct buf out = BUF_INIT;
    struct cursor next = {0};
    enum MHD_Result res = MHD_YES;
    size_t n = 0;
    int r;

    /* While it was parked the scope may have changed or the mirror been removed. */
    if (q->parked.conn && (r = authenticate(q)) <= 0)
        return r < 0 ? reply_error(q, 503, WIRE_E_UNAVAILABLE, "the database cannot be read")
                     : reply_error(q, 401, WIRE_E_UNAUTHORIZED, "the token is no longer valid");
    for (;;) {
        buf_clear(&out);
        r = page(q, &out, &next, &n);
        if (r < 0 || n > 0 || !q->query.since.timeline[0] || q->query.since.full0 >= 0 ||
            next.full0 >= 0 || q->deadline <= clock_mono_ms() || q->m->stopping)
            break;
        q->query.since = next; /* nothing for this mirror up to here */
        q->parked.conn = q->conn;
        q->parked.deadline = q->deadline;
        if (feed_park(q->m->feed, &q->parked, next.seq))
            goto out;
        if (head_seq(q->m->head) <= next.seq)
            break; /* stopping */
    }
    if (r == -ESTALE)
        res = reset(q);
    else if (r < 0)
        res = reply_error(q, 503, WIRE_E_UNAVAILABLE, "the master's database cannot be read");
    else
        res = reply_text(q, 200, "application/x-ndjson", out.data, out.len);
    if (r == 0)
        reports_seen(q->m->reports, q->who.name, NULL,
                     q->query.since.timeline[0] ? q->query.since.seq : -1);
out:
    buf_release(&out);
    return res;
}

static enum MHD_Result begin_changes(struct request *q)
{
    const char *since = argument(q, "since");
    int64_t wait = 0;

    q->query.limit = WIRE_PAGE_MAX;
    q->query.since.full0 = -1;
    if (since && *since && cursor_parse(since, &q->query.since) < 0)
        return reset(q);
    if (!number(q, "limit", 1, WIRE_PAGE_MAX, &q->query.limit) ||
        !number(q, "inline", 0, WIRE_INLINE_MAX, &q->query.inline_max) ||
        !number(q, "wait", 0, WIRE_WAIT_MAX, &wait))
        return reply_error(q, 400, WIRE_E_BAD_REQUEST,
                           "limit, inline and wait must be numbers that are not negative");
    q->deadline = wait ? clock_mono_ms() + wait * 1000 : 0;
    q->run = run_changes;
    return run_changes(q);
}

static enum MHD_Result run_ops_answer(struct request *q)
{
    struct batch *b = q->batch;
    enum MHD_Result r;

    if (b->error == -ENOSPC)
        r = reply_error(q, 507, WIRE_E_NO_SPACE, "the master's disk is full");
    else if (b->error < 0)
        r = reply_error(q, 503, WIRE_E_UNAVAILABLE, "the master's database cannot be written");
    else if (b->cloned)
        r = reply_error(
            q, 409, WIRE_E_CLONED,
            "another machine uses a copy of this cache and has already used that operation number");
    else
        r = reply_json(q, 200,
                       json_pack("{s:O,s:I}", "answers", b->answers, "head", (json_int_t)b->head));
    return r;
}

/* In the carrier's thread. */
static void ops_again(void *arg, struct batch *b)
{
    struct request *q = arg;

    committer_ops(q->m->committer, b);
}

/* In the committer's thread. */
static void ops_done(void *arg, struct batch *b)
{
    struct request *q = arg;

    (void)b;
    q->run = run_ops_answer;
    MHD_resume_connection(q->conn);
}

static enum MHD_Result run_ops(struct request *q)
{
    struct batch *b = NULL;
    struct err e;

    if (batch_parse(q->body.data, q->body.len, &q->who, &b, &e) < 0)
        return reply_error(q, 400, WIRE_E_BAD_REQUEST, e.text);
    b->done = ops_done;
    b->again = ops_again;
    b->arg = q;
    q->batch = b;
    MHD_suspend_connection(q->conn);
    committer_ops(q->m->committer, b);
    return MHD_YES;
}

static enum MHD_Result run_state(struct request *q)
{
    json_t *o = json_loadb(q->body.data ? q->body.data : "", q->body.len, 0, NULL);
    const char *text = json_string_value(json_object_get(o, "cursor"));
    struct cursor c = {.seq = -1};

    if (!json_is_object(o)) {
        json_decref(o);
        return reply_error(q, 400, WIRE_E_BAD_REQUEST, "the body is not a JSON object");
    }
    if (text && *text)
        cursor_parse(text, &c);
    reports_seen(q->m->reports, q->who.name, o, c.seq);
    json_decref(o);
    return reply_json(q, 200, json_pack("{s:b}", "ok", 1));
}

static enum MHD_Result run_mirrors(struct request *q)
{
    json_t *one = reports_show(q->m->reports, q->who.name, head_seq(q->m->head), clock_mono_ms());

    return reply_json(q, 200, json_pack("{s:[o]}", "mirrors", one));
}

static enum MHD_Result run_healthz(struct request *q)
{
    char why[512];

    if (fit_why_not(q->m, why, sizeof(why)))
        return reply_json(q, 503,
                          json_pack("{s:s}", "state", q->m->scanned ? "FAILED" : "SYNCING"));
    return reply_json(q, 200, json_pack("{s:s}", "state", "OK"));
}

static enum MHD_Result run_unauthorized(struct request *q)
{
    return reply_error(q, 401, WIRE_E_UNAUTHORIZED,
                       "no or unknown token; 'eefs-master mirror add' on the master makes one");
}

static void note_intruder(struct request *q)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(q->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    intruder_count(q->m->intruder, info ? info->client_addr : NULL,
                   MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Authorization") != NULL);
}

static enum MHD_Result too_many(struct request *q)
{
    return reply_error(q, 503, WIRE_E_UNAVAILABLE,
                       "this mirror has too many requests at once; it retries");
}

/* --- routing --- */

static bool has_body(struct request *q)
{
    const char *v = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Content-Length");

    return (v && strtoll(v, NULL, 10) != 0) ||
           MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Transfer-Encoding");
}

static bool body_fits(struct request *q)
{
    const char *v = MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "Content-Length");

    return !v || strtoll(v, NULL, 10) <= q->body_max;
}

static enum MHD_Result not_found(struct request *q)
{
    return reply_error(q, 404, WIRE_E_NOT_FOUND, "no such route");
}

static enum MHD_Result route_object(struct request *q, const char *method)
{
    if (hash_parse(q->url + strlen(WIRE_OBJECT), &q->hash) < 0)
        return reply_error(q, 400, WIRE_E_BAD_REQUEST,
                           "a content is named 's2-' and 64 hex digits");
    if (strcmp(method, "PUT") == 0) {
        q->put = true;
        q->run = content_put_end;
        return content_put_begin(q);
    }
    if (strcmp(method, "HEAD") == 0 &&
        MHD_lookup_connection_value(q->conn, MHD_HEADER_KIND, "X-Eefs-Upload"))
        q->run = content_have;
    else if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        q->run = content_get;
    else
        return not_found(q);
    return MHD_YES;
}

static enum MHD_Result route_table(struct request *q, const char *method)
{
    static const struct {
        const char *method, *url;
        request_fn *run;
        int64_t body_max;
    } table[] = {
        {"GET", WIRE_HELLO, run_hello, 0},          {"GET", WIRE_CHANGES, begin_changes, 0},
        {"POST", WIRE_OPS, run_ops, WIRE_BODY_MAX}, {"POST", WIRE_STATE, run_state, STATE_MAX},
        {"GET", WIRE_MIRRORS, run_mirrors, 0},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].url, q->url) != 0 || strcmp(table[i].method, method) != 0)
            continue;
        q->body_max = table[i].body_max;
        if (!body_fits(q))
            return reply_error(q, 413, WIRE_E_TOO_LARGE, "the body is larger than it may be");
        q->run = table[i].run;
        return MHD_YES;
    }
    return not_found(q);
}

/* The headers are there: a refusal is queued now, before any body is sent. */
static enum MHD_Result route(struct request *q, const char *method)
{
    char why[512];
    int r;

    if (strcmp(q->url, WIRE_HEALTHZ) == 0) {
        if ((strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) || has_body(q))
            return not_found(q);
        q->run = run_healthz;
        return MHD_YES;
    }
    r = authenticate(q);
    if (r < 0)
        return reply_error(q, 503, WIRE_E_UNAVAILABLE, "the master's database cannot be read");
    if (r == 0) {
        q->run = run_unauthorized;
        note_intruder(q);
        return connections_delay(q->routes->connections, q->conn) ? MHD_YES : q->run(q);
    }
    if (!reports_enter(q->m->reports, q->who.name))
        return too_many(q);
    memcpy(q->counted, q->who.name, sizeof(q->counted));
    if (fit_why_not(q->m, why, sizeof(why)))
        return reply_error(q, 503, WIRE_E_UNAVAILABLE, why);
    if (strncmp(q->url, WIRE_OBJECT, strlen(WIRE_OBJECT)) == 0)
        return route_object(q, method);
    return route_table(q, method);
}

/* A body that is not wanted is thrown away, and refused when it is over. */
static void take_body(struct request *q, const char *data, size_t len)
{
    struct routes *r = q->routes;

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
    struct routes *r = cls;
    struct request *q = *con_cls;

    (void)version;
    if (!q) {
        q = *con_cls = xcalloc(1, sizeof(*q));
        q->m = r->m;
        q->routes = r;
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
        return too_many(q);
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
    connections_answered(q->routes->connections, conn);
    if (*q->counted)
        reports_leave(q->m->reports, q->counted);
    atomic_fetch_sub(&q->routes->bodies, (int64_t)q->body.len);
    if (q->upload)
        upload_end(q->upload, false,
                   &have); /* the connection broke: the received part stays for resuming */
    batch_free(q->batch);
    mirror_release(&q->who);
    buf_release(&q->body);
    free(q);
    *con_cls = NULL;
}

/* --- listening --- */

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24) ==
               127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

static int resolve(const char *listen_at, struct addrinfo **ret, struct err *e)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(listen_at, ':');
    char host[256];
    size_t n = colon ? (size_t)(colon - listen_at) : 0;
    const char *start = listen_at;
    int r;

    if (n > 2 && start[0] == '[' && start[n - 1] == ']') {
        start++;
        n -= 2;
    }
    if (!colon || n == 0 || n >= sizeof(host) || !colon[1] ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
        strtol(colon + 1, NULL, 10) > 65535)
        return err_set(e, EINVAL, "--listen is HOST:PORT such as 127.0.0.1:7700, not '%s'",
                       listen_at);
    memcpy(host, start, n);
    host[n] = '\0';
    r = getaddrinfo(host, colon + 1, &hints, ret);
    if (r != 0)
        return err_set(e, EINVAL, "cannot listen on '%s': %s", listen_at, gai_strerror(r));
    return 0;
}

static int open_socket(const char *listen_at, bool insecure, struct err *e)
{
    struct addrinfo *ai = NULL;
    int fd = -1, one = 1, r = resolve(listen_at, &ai, e);

    if (r < 0)
        return r;
    if (!insecure && !is_loopback(ai->ai_addr)) {
        r = err_set(
            e, EINVAL,
            "'%s' is not a loopback address: tokens and files would cross the network unencrypted; "
            "put a TLS proxy in front, or give --insecure-http on a network that you trust",
            listen_at);
        goto out;
    }
    fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 1024) < 0)
        r = err_sys(e, errno, "cannot listen on '%s'", listen_at);
out:
    freeaddrinfo(ai);
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
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

int routes_start(struct master *m, bool insecure, struct routes **ret, struct err *e)
{
    struct routes *r = xcalloc(1, sizeof(*r));
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

void routes_stop(struct routes *r)
{
    if (!r)
        return;
    connections_stop(r->connections);
    MHD_stop_daemon(r->daemon);
    connections_free(r->connections);
    free(r);
}
