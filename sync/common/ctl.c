/* SPDX-License-Identifier: MIT */
#include "sync/common/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"

#define MAX_CONNS        256
#define MAX_OTHERS       128 /* of peers that are not trusted */
#define MAX_OF_UID       16  /* of one of them */
#define BEGUN_MS         10000
#define IDLE_MS          60000
#define PACE_US          20000
#define REPLY_TIMEOUT_MS 5000

static int fill_address(struct sockaddr_un *a, const char *path, struct err *e)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(a->sun_path))
        return err_set(e, ENAMETOOLONG,
                       "the socket path '%s' is longer than %zu bytes; use a shorter run directory",
                       path, sizeof(a->sun_path) - 1);
    memcpy(a->sun_path, path, strlen(path) + 1);
    return 0;
}

/* Waits until fd is ready for `events`. 0 or -ETIMEDOUT. */
static int wait_fd(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left = deadline_ms - clock_mono_ms();
        int n = poll(&p, 1, left < 0 ? 0 : (int)(left > 60000 ? 60000 : left));

        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (clock_mono_ms() >= deadline_ms)
            return -ETIMEDOUT;
    }
}

static int send_line(int fd, json_t *value, int64_t deadline_ms)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    size_t len, at = 0;
    int r = 0;

    if (!text)
        return -EINVAL;
    len = strlen(text);
    text[len++] = '\n'; /* in place of the NUL */
    while (at < len && r == 0) {
        ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            at += (size_t)n;
        else if (errno == EAGAIN)
            r = wait_fd(fd, POLLOUT, deadline_ms);
        else if (errno != EINTR)
            r = -errno;
    }
    free(text);
    return r;
}

/* One line out of `in`, filled from fd. 1: *ret is set; 0: the peer closed; -errno. */
static int recv_line(int fd, struct buf *in, size_t max, int64_t deadline_ms, json_t **ret)
{
    for (;;) {
        char *end = in->len ? memchr(in->data, '\n', in->len) : NULL;
        ssize_t n;

        if (end) {
            json_t *v = json_loadb(in->data, (size_t)(end - in->data), 0, NULL);
            buf_consume(in, (size_t)(end - in->data) + 1);
            if (!json_is_object(v)) {
                json_decref(v);
                return -EPROTO;
            }
            *ret = v;
            return 1;
        }
        if (in->len > max)
            return -EPROTO;
        buf_reserve(in, 16384);
        n = recv(fd, in->data + in->len, 16384, MSG_DONTWAIT);
        if (n > 0) {
            in->len += (size_t)n;
            in->data[in->len] = '\0';
        } else if (n == 0) {
            return 0;
        } else if (errno == EAGAIN) {
            int r = wait_fd(fd, POLLIN, deadline_ms);
            if (r < 0)
                return r;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

/* --- client --- */

struct ctl {
    int fd;
    char *path;
    struct buf in;
};

int ctl_connect(const char *socket_path, int64_t timeout_ms, struct ctl **ret, struct err *e)
{
    struct sockaddr_un a;
    struct ctl *c;
    int r = fill_address(&a, socket_path, e);
    int fd;

    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(e, errno, "cannot create a socket");
    for (int64_t deadline = clock_mono_ms() + timeout_ms;;) {
        if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
            break;
        r = -errno;
        if (r == -EINTR)
            continue;
        /* A full backlog of a Unix socket gives EAGAIN at once, with nothing to poll for. */
        if (r == -EAGAIN && clock_mono_ms() < deadline) {
            poll(NULL, 0, 10);
            continue;
        }
        close(fd);
        return err_sys(e, r == -EAGAIN ? ETIMEDOUT : -r, "cannot reach '%s'", socket_path);
    }
    c = xcalloc(1, sizeof(*c));
    c->fd = fd;
    c->path = xstrdup(socket_path);
    *ret = c;
    return 0;
}

void ctl_close(struct ctl *c)
{
    if (!c)
        return;
    close(c->fd);
    buf_release(&c->in);
    free(c->path);
    free(c);
}

int ctl_fd(struct ctl *c)
{
    return c->fd;
}

pid_t ctl_peer_pid(struct ctl *c)
{
    struct ucred cred = {0};
    socklen_t len = sizeof(cred);

    return getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ? 0 : cred.pid;
}

int ctl_send(struct ctl *c, json_t *request, int64_t timeout_ms, struct err *e)
{
    int r = send_line(c->fd, request, clock_mono_ms() + timeout_ms);

    if (r < 0)
        return err_sys(e, -r, "cannot send to '%s'", c->path);
    return 0;
}

int ctl_recv(struct ctl *c, int64_t timeout_ms, json_t **ret, struct err *e)
{
    int r = recv_line(c->fd, &c->in, CTL_LINE_MAX, clock_mono_ms() + timeout_ms, ret);

    if (r == 1)
        return 0;
    if (r == 0)
        return err_set(e, EPIPE, "'%s' closed the connection", c->path);
    if (r == -ETIMEDOUT)
        return err_set(e, ETIMEDOUT, "no answer from '%s' in time", c->path);
    return err_sys(e, -r, "cannot read from '%s'", c->path);
}

int ctl_call(const char *socket_path, json_t *request, int64_t timeout_ms, json_t **ret,
             struct err *e)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    struct ctl *c = NULL;
    json_t *answer = NULL;
    int r = ctl_connect(socket_path, timeout_ms, &c, e);

    if (r < 0)
        return r;
    r = ctl_send(c, request, until - clock_mono_ms(), e);
    if (r == 0)
        r = ctl_recv(c, until - clock_mono_ms(), &answer, e);
    ctl_close(c);
    if (r < 0)
        return r;
    if (!json_is_true(json_object_get(answer, "ok"))) {
        const char *text = json_string_value(json_object_get(answer, "error"));
        r = err_set(e, EREMOTEIO, "%s", text ? text : "refused without a reason");
    }
    if (ret)
        *ret = answer;
    else
        json_decref(answer);
    return r;
}

/* --- server --- */

struct ctl_conn {
    struct ctl_server *server;
    int fd;
    struct ctl_peer peer;
    pthread_t thread;
    atomic_bool done; /* the thread is about to return and can be joined */
    struct ctl_conn *next;
};

struct ctl_server {
    int fd;
    int stop_fd; /* eventfd: readable once the server stops */
    int spare_fd;
    char *path;
    ctl_handler *handler;
    void *arg;
    pthread_t thread;
    atomic_bool stopping;
    struct ctl_conn *conns; /* only the accepting thread, and stop after joining it */
};

static void *conn_main(void *arg)
{
    struct ctl_conn *c = arg;
    struct ctl_server *s = c->server;
    struct buf in = BUF_INIT;
    int64_t since = clock_mono_ms();

    while (!atomic_load(&s->stopping)) {
        json_t *request = NULL;
        int r = recv_line(c->fd, &in, c->peer.trusted ? CTL_LINE_MAX : CTL_REQUEST_MAX,
                          clock_mono_ms() + 1000, &request);

        if (r == -ETIMEDOUT && !c->peer.trusted &&
            clock_mono_ms() - since > (in.len > 0 ? BEGUN_MS : IDLE_MS))
            break;
        if (r == -ETIMEDOUT)
            continue;
        if (r == -EPROTO)
            ctl_reply_error(c, "bad_request", "the request is not one line of JSON");
        if (r <= 0)
            break;
        s->handler(s->arg, c, request, c->peer.uid);
        json_decref(request);
        if (!c->peer.trusted)
            usleep(PACE_US);
        since = clock_mono_ms();
    }
    buf_release(&in);
    shutdown(c->fd, SHUT_RDWR);
    atomic_store(&c->done, true);
    return NULL;
}

static void reap(struct ctl_server *s, bool all)
{
    for (struct ctl_conn **p = &s->conns; *p;) {
        struct ctl_conn *c = *p;

        if (!all && !atomic_load(&c->done)) {
            p = &c->next;
            continue;
        }
        thread_join(c->thread);
        close(c->fd);
        *p = c->next;
        free(c->peer.groups);
        free(c);
    }
}

static bool has_room(const struct ctl_server *s, const struct ctl_peer *peer)
{
    size_t n = 0, others = 0, same = 0;

    for (const struct ctl_conn *c = s->conns; c; c = c->next) {
        n++;
        others += !c->peer.trusted;
        same += c->peer.uid == peer->uid;
    }
    return n < MAX_CONNS && (peer->trusted || (others < MAX_OTHERS && same < MAX_OF_UID));
}

static int find_peer(int fd, struct ctl_peer *ret)
{
    struct ucred cred = {0};
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    memset(ret, 0, sizeof(*ret));
    ret->uid = cred.uid;
    ret->gid = cred.gid;
    ret->trusted = cred.uid == 0 || cred.uid == geteuid();
    len = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) < 0 && errno == ERANGE) {
        ret->groups = xmalloc(len);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret->groups, &len) == 0)
            ret->n_groups = len / sizeof(gid_t);
    }
    return 0;
}

/* When no file can be opened any more one is let go, so that the program still answers. */
static int accept_one(struct ctl_server *s)
{
    int fd;

    if (s->spare_fd < 0)
        s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        trouble_note(errno, s->path);
        close(s->spare_fd);
        s->spare_fd = -1;
        fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    }
    return fd;
}

static void *accept_main(void *arg)
{
    struct ctl_server *s = arg;

    while (!atomic_load(&s->stopping)) {
        struct pollfd p[2] = {{.fd = s->fd, .events = POLLIN},
                              {.fd = s->stop_fd, .events = POLLIN}};
        struct ctl_peer peer = {0};
        struct ctl_conn *c;
        int fd;

        poll(p, 2, 1000);
        reap(s, false);
        fd = accept_one(s);
        if (fd < 0)
            continue;
        if (find_peer(fd, &peer) < 0 || !has_room(s, &peer)) {
            free(peer.groups);
            close(fd);
            continue;
        }
        c = xcalloc(1, sizeof(*c));
        c->server = s;
        c->fd = fd;
        c->peer = peer;
        if (thread_start(&c->thread, "ctl-conn", conn_main, c) < 0) {
            close(fd);
            free(peer.groups);
            free(c);
            continue;
        }
        c->next = s->conns;
        s->conns = c;
    }
    return NULL;
}

/* Binds; a socket file that nobody listens on is a leftover of a killed program. */
static int bind_socket(int fd, const struct sockaddr_un *a, struct err *e)
{
    struct ctl *c;
    int r;

    if (bind(fd, (const struct sockaddr *)a, sizeof(*a)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return err_sys(e, errno, "cannot create the control socket '%s'", a->sun_path);
    r = ctl_connect(a->sun_path, 1000, &c, NULL);
    if (r != -ECONNREFUSED) {
        if (r == 0)
            ctl_close(c);
        return err_set(e, EADDRINUSE, "another program listens on '%s' already", a->sun_path);
    }
    if (unlink(a->sun_path) < 0 || bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
        return err_sys(e, errno, "cannot replace the stale control socket '%s'", a->sun_path);
    return 0;
}

int ctl_server_start(const char *socket_path, mode_t mode, ctl_handler *handler, void *arg,
                     struct ctl_server **ret, struct err *e)
{
    struct ctl_server *s = xcalloc(1, sizeof(*s));
    struct sockaddr_un a;
    int r = fill_address(&a, socket_path, e);

    s->fd = s->stop_fd = s->spare_fd = -1;
    if (r < 0)
        goto fail;
    s->handler = handler;
    s->arg = arg;
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || s->stop_fd < 0) {
        r = err_sys(e, errno, "cannot create a socket");
        goto fail;
    }
    r = bind_socket(s->fd, &a, e);
    if (r < 0)
        goto fail;
    s->path = xstrdup(socket_path);
    if (chmod(socket_path, mode) < 0 || listen(s->fd, 64) < 0) {
        r = err_sys(e, errno, "cannot listen on '%s'", socket_path);
        goto fail;
    }
    r = thread_start(&s->thread, "ctl-accept", accept_main, s);
    if (r < 0) {
        err_sys(e, -r, "cannot start a thread");
        goto fail;
    }
    *ret = s;
    return 0;
fail:
    if (s->path)
        unlink(s->path);
    if (s->fd >= 0)
        close(s->fd);
    if (s->stop_fd >= 0)
        close(s->stop_fd);
    if (s->spare_fd >= 0)
        close(s->spare_fd);
    free(s->path);
    free(s);
    return r;
}

void ctl_server_stop(struct ctl_server *s)
{
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    eventfd_write(s->stop_fd, 1);
    thread_join(s->thread);
    for (struct ctl_conn *c = s->conns; c; c = c->next)
        shutdown(c->fd, SHUT_RDWR);
    reap(s, true);
    unlink(s->path);
    close(s->fd);
    close(s->stop_fd);
    if (s->spare_fd >= 0)
        close(s->spare_fd);
    free(s->path);
    free(s);
}

const struct ctl_peer *ctl_conn_peer(const struct ctl_conn *conn)
{
    return &conn->peer;
}

int ctl_reply(struct ctl_conn *conn, json_t *line)
{
    int r = send_line(conn->fd, line, clock_mono_ms() + REPLY_TIMEOUT_MS);

    json_decref(line);
    return r < 0 ? -EPIPE : 0;
}

int ctl_reply_error(struct ctl_conn *conn, const char *code, const char *text)
{
    return ctl_reply(conn, json_pack("{s:b,s:s,s:s}", "ok", 0, "code", code, "error", text));
}

bool ctl_conn_closed(struct ctl_conn *conn)
{
    char c;

    if (atomic_load(&conn->server->stopping))
        return true;
    return recv(conn->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}
