/* SPDX-License-Identifier: MIT */
/*
 * Each connection is in one of four states:
 *
 *     accepted ─> QUIET ──headers──> BODY ──whole──> ANSWER ──answered──┐
 *                   ^                                                   │
 *                   └───────────────────────────────────────────────────┘
 *
 * QUIET ones lie in a list by the time since when they are quiet, so the oldest is found at once;
 * those without any headers so far lie in the list of their address's slot as well. A connection is
 * ended by shutdown(2): libmicrohttpd then sees its end and closes it. The descriptor is valid
 * under the lock, for connections_notify() takes the connection out before it is closed.
 */
#include "sync/master/http/connections.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sync/common/hash.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/worker.h"

#define LOOK_MS       250
#define HEADERS_MS    10000
#define QUIET_MS      120000
#define BODY_MS       20000
#define BODY_BYTES_MS 1 /* a millisecond for each byte: 1 KB/s */
#define ADDRESS_MAX   64
#define CHANCE_MS     1000 /* a burst of one address (a proxy after a restart) gets so long */
#define SLOTS         1024 /* addresses that share one share its bounds */
#define WRONG_FREE    10
#define WRONG_MS      60000
#define DELAY_MS      1000
#define DELAYED_MAX   256
#define LOG_MS        60000

enum state { QUIET, BODY, ANSWER };

struct slot { /* one address */
    struct connection *oldest, *newest;
    unsigned n;
    unsigned wrong; /* tokens since `wrong_at` */
    int64_t wrong_at;
};

struct connection {
    struct connection *older, *newer;           /* of all that are QUIET, or of those with a body */
    struct connection *slot_older, *slot_newer; /* of those whose first headers are awaited */
    struct slot *slot;
    int fd;
    enum state state;
    bool young; /* no headers so far */
    bool ended;
    int64_t deadline;
};

struct list {
    struct connection *oldest, *newest;
};

struct delayed {
    struct delayed *next;
    struct MHD_Connection *conn;
    int64_t due;
};

struct connections {
    struct worker worker; /* its lock guards all below */
    unsigned n, limit, crowded_out;
    struct list quiet, bodies;
    struct slot slots[SLOTS];
    struct delayed *delayed;
    unsigned n_delayed;
};

static struct slot *slot_of(struct connections *c, const struct sockaddr *sa)
{
    const uint8_t *p = (const uint8_t *)"";
    size_t n = 0;

    if (sa && sa->sa_family == AF_INET) {
        p = (const uint8_t *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
        n = 4;
    } else if (sa && sa->sa_family == AF_INET6) {
        p = (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
        n = 8;
    }
    return &c->slots[hash64(p, n) % SLOTS];
}

static struct connection *of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return i ? i->socket_context : NULL;
}

static void add_locked(struct list *l, struct connection *k)
{
    k->newer = NULL;
    k->older = l->newest;
    *(l->newest ? &l->newest->newer : &l->oldest) = k;
    l->newest = k;
}

static void remove_locked(struct list *l, struct connection *k)
{
    *(k->older ? &k->older->newer : &l->oldest) = k->newer;
    *(k->newer ? &k->newer->older : &l->newest) = k->older;
}

static void slot_add_locked(struct connection *k)
{
    struct slot *s = k->slot;

    k->slot_newer = NULL;
    k->slot_older = s->newest;
    *(s->newest ? &s->newest->slot_newer : &s->oldest) = k;
    s->newest = k;
    s->n++;
    k->young = true;
}

static void slot_remove_locked(struct connection *k)
{
    struct slot *s = k->slot;

    if (!k->young)
        return;
    *(k->slot_older ? &k->slot_older->slot_newer : &s->oldest) = k->slot_newer;
    *(k->slot_newer ? &k->slot_newer->slot_older : &s->newest) = k->slot_older;
    s->n--;
    k->young = false;
}

static void leave_locked(struct connections *c, struct connection *k)
{
    if (k->state == QUIET)
        remove_locked(&c->quiet, k);
    else if (k->state == BODY)
        remove_locked(&c->bodies, k);
    slot_remove_locked(k);
}

/* An ended connection counts no more; it is still there until libmicrohttpd notices. */
static void end_locked(struct connections *c, struct connection *k)
{
    if (k->ended)
        return;
    leave_locked(c, k);
    k->state = ANSWER;
    k->ended = true;
    shutdown(k->fd, SHUT_RDWR);
}

static void crowd_out_locked(struct connections *c, struct connection *k)
{
    end_locked(c, k);
    c->crowded_out++;
}

static void enter_locked(struct connections *c, struct connection *k, enum state state)
{
    if (k->ended)
        return;
    leave_locked(c, k);
    k->state = state;
    if (state == QUIET) {
        k->deadline = clock_mono_ms() + QUIET_MS;
        add_locked(&c->quiet, k);
    } else if (state == BODY) {
        k->deadline = clock_mono_ms() + BODY_MS;
        add_locked(&c->bodies, k);
    }
}

static void accept_locked(struct connections *c, struct MHD_Connection *conn, struct connection *k)
{
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *address =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    k->fd = fd ? fd->connect_fd : -1;
    k->slot = slot_of(c, address ? address->client_addr : NULL);
    k->state = QUIET;
    k->deadline = clock_mono_ms() + HEADERS_MS;
    add_locked(&c->quiet, k);
    slot_add_locked(k);
    c->n++;
    if (c->n > c->limit / 4 * 3 && c->quiet.oldest && c->quiet.oldest != k)
        crowd_out_locked(c, c->quiet.oldest);
}

static void log_crowd_locked(struct connections *c, int64_t now, int64_t *next)
{
    if (c->crowded_out == 0 || now < *next)
        return;
    log_warn("%u connections that had sent no request were closed to make room for others; "
             "%u are open",
             c->crowded_out, c->n);
    c->crowded_out = 0;
    *next = now + LOG_MS;
}

void connections_notify(void *cls, struct MHD_Connection *conn, void **context,
                        enum MHD_ConnectionNotificationCode how)
{
    struct connections *c = cls;
    struct connection *k = *context;

    worker_lock(&c->worker);
    if (how == MHD_CONNECTION_NOTIFY_STARTED) {
        k = *context = xcalloc(1, sizeof(*k));
        accept_locked(c, conn, k);
    } else if (k) {
        if (!k->ended)
            leave_locked(c, k);
        c->n--;
        free(k);
        *context = NULL;
    }
    worker_unlock(&c->worker);
}

static void enter(struct connections *c, struct MHD_Connection *conn, enum state state)
{
    struct connection *k = of(conn);

    if (!k)
        return;
    worker_lock(&c->worker);
    enter_locked(c, k, state);
    worker_unlock(&c->worker);
}

void connections_headers(struct connections *c, struct MHD_Connection *conn)
{
    enter(c, conn, BODY);
}

void connections_body(struct connections *c, struct MHD_Connection *conn, size_t n)
{
    struct connection *k = of(conn);

    if (!k)
        return;
    worker_lock(&c->worker);
    k->deadline += (int64_t)n * BODY_BYTES_MS;
    worker_unlock(&c->worker);
}

void connections_whole(struct connections *c, struct MHD_Connection *conn)
{
    enter(c, conn, ANSWER);
}

void connections_answered(struct connections *c, struct MHD_Connection *conn)
{
    enter(c, conn, QUIET);
}

bool connections_delay(struct connections *c, struct MHD_Connection *conn)
{
    struct connection *k = of(conn);
    int64_t now = clock_mono_ms();
    struct delayed *d = NULL;
    struct slot *s;

    if (!k)
        return false;
    worker_lock(&c->worker);
    s = k->slot;
    if (now - s->wrong_at > WRONG_MS) {
        s->wrong = 0;
        s->wrong_at = now;
    }
    if (++s->wrong > WRONG_FREE && c->n_delayed < DELAYED_MAX &&
        !worker_stopping_locked(&c->worker)) {
        d = xcalloc(1, sizeof(*d));
        d->conn = conn;
        d->due = now + DELAY_MS;
        d->next = c->delayed;
        c->delayed = d;
        c->n_delayed++;
        enter_locked(c, k, ANSWER);
        MHD_suspend_connection(conn);
    }
    worker_unlock(&c->worker);
    return d != NULL;
}

static void resume_locked(struct connections *c, int64_t now)
{
    struct delayed **p = &c->delayed, *d;

    while ((d = *p)) {
        if (d->due > now) {
            p = &d->next;
            continue;
        }
        *p = d->next;
        c->n_delayed--;
        MHD_resume_connection(d->conn);
        free(d);
    }
}

/* Of the addresses with too many connections that have sent no headers: those that had their
 * chance. */
static void thin_out_locked(struct connections *c, int64_t now)
{
    for (struct connection *newer, *k = c->quiet.oldest; k; k = newer) {
        newer = k->newer;
        if (k->young && k->slot->n > ADDRESS_MAX && k->deadline - HEADERS_MS + CHANCE_MS <= now)
            crowd_out_locked(c, k);
    }
}

/* The lists are not in the order of deadlines: a new connection has a shorter one than a connection
 * between requests, and bodies move theirs. */
static void end_late_locked(struct connections *c, struct list *l, int64_t now)
{
    for (struct connection *newer, *k = l->oldest; k; k = newer) {
        newer = k->newer;
        if (k->deadline <= now)
            end_locked(c, k);
    }
}

static void *connections_run(void *arg)
{
    struct connections *c = arg;
    int64_t log_at = 0;

    worker_lock(&c->worker);
    while (!worker_stopping_locked(&c->worker)) {
        int64_t now = clock_mono_ms();
        log_crowd_locked(c, now, &log_at);
        resume_locked(c, now);
        thin_out_locked(c, now);
        end_late_locked(c, &c->quiet, now);
        end_late_locked(c, &c->bodies, now);
        worker_wait_locked(&c->worker, now + LOOK_MS);
    }
    resume_locked(c, INT64_MAX);
    worker_unlock(&c->worker);
    return NULL;
}

int connections_start(unsigned limit, struct connections **ret, struct err *e)
{
    struct connections *c = xcalloc(1, sizeof(*c));
    int r;

    c->limit = limit;
    worker_init(&c->worker);
    r = worker_start(&c->worker, "connections", connections_run, c);
    if (r < 0) {
        worker_release(&c->worker);
        free(c);
        return err_sys(e, -r, "cannot start the thread that limits connections");
    }
    *ret = c;
    return 0;
}

void connections_stop(struct connections *c)
{
    worker_stop(&c->worker);
}

void connections_free(struct connections *c)
{
    if (!c)
        return;
    worker_release(&c->worker);
    free(c);
}
