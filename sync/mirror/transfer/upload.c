/* SPDX-License-Identifier: MIT */
/*
 * upload: large contents travel ahead of the operations that name them, several at a time, and
 * resume where a broken transfer ended (HEAD returns how much the master has). push.c asks for the
 * state of each.
 */
#include "sync/mirror/transfer/upload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/worker.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/wait.h"
#include "sync/proto/http_client.h"
#include "sync/proto/wire.h"

#define THREADS  4
#define KEEP_MAX 4096 /* finished ones remembered */
#define TRIES    5

struct item {
    struct item *next;
    struct hash hash;
    int64_t size;
    int64_t opid; /* the first operation that named it */
    /* How far it ever was sent: going beyond that is progress (wait.c). Guarded by the lock. */
    int64_t sent;
    int64_t forgotten_for; /* the last operation for which it had to be sent anew */
    bool queued, running, failed, done;
    char code[UPLOAD_CODE_CAP];
    struct err err;
};

struct upload {
    struct mirror *m;
    struct worker worker; /* its lock guards the list and the items' flags */
    struct item *items;   /* newest first */
};

struct upload *upload_new(struct mirror *m)
{
    struct upload *u = xcalloc(1, sizeof(*u));

    u->m = m;
    worker_init(&u->worker);
    return u;
}

void upload_free(struct upload *u)
{
    struct item *i;

    if (!u)
        return;
    while ((i = u->items)) {
        u->items = i->next;
        free(i);
    }
    worker_release(&u->worker);
    free(u);
}

static struct item *find_locked(struct upload *u, const struct hash *h)
{
    struct item *i;

    for (i = u->items; i; i = i->next)
        if (hash_eq(&i->hash, h))
            return i;
    return NULL;
}

/* Forgets finished ones beyond KEEP_MAX. */
static void trim_locked(struct upload *u)
{
    struct item **at = &u->items, *i;
    int n = 0;

    while ((i = *at)) {
        if (n++ < KEEP_MAX || !i->done || i->running) {
            at = &i->next;
            continue;
        }
        *at = i->next;
        free(i);
    }
}

enum upload_state upload_want(struct upload *u, const struct hash *h, int64_t size, int64_t opid,
                              char *code, struct err *e)
{
    enum upload_state s = UPLOAD_BUSY;
    struct item *i;

    *code = '\0';
    worker_lock(&u->worker);
    i = find_locked(u, h);
    if (!i) {
        trim_locked(u);
        i = xcalloc(1, sizeof(*i));
        i->hash = *h;
        i->size = size;
        i->opid = opid;
        i->next = u->items;
        u->items = i;
        i->queued = true;
        worker_wake_locked(&u->worker);
    } else if (i->done) {
        s = UPLOAD_DONE;
    } else if (i->failed) {
        s = UPLOAD_FAILED;
        *e = i->err;
        snprintf(code, UPLOAD_CODE_CAP, "%s", i->code);
        i->failed = false;
        i->queued = true;
        worker_wake_locked(&u->worker);
    }
    if (opid < i->opid)
        i->opid = opid;
    worker_unlock(&u->worker);
    return s;
}

void upload_forget(struct upload *u, const struct hash *h, int64_t opid)
{
    struct item *i;

    worker_lock(&u->worker);
    i = find_locked(u, h);
    if (i && i->done) {
        i->done = false;
        i->queued = true;
        if (opid > i->forgotten_for) { /* once for each operation, so that it comes to an end */
            i->forgotten_for = opid;
            i->sent = 0;
        }
        worker_wake_locked(&u->worker);
    }
    worker_unlock(&u->worker);
}

/* A running PUT, for http_sent_fn. */
struct sending {
    struct upload *u;
    struct item *item;
    int64_t from; /* where this request began */
};

static void on_sent(void *arg, int64_t bytes)
{
    struct sending *s = arg;
    int64_t opid = 0;

    worker_lock(&s->u->worker);
    if (s->from + bytes > s->item->sent) {
        s->item->sent = s->from + bytes;
        opid = s->item->opid;
    }
    worker_unlock(&s->u->worker);
    if (opid)
        wait_moved(s->u->m->wait, opid);
}

/* Where to go on: how much of it the master has staged, `size` only when it has verified that. */
static int64_t ask_have(struct upload *u, const char *path, int64_t size)
{
    struct http_request q = {.method = "HEAD", .path = path, .upload_head = true};
    struct http_reply p;
    int64_t at = 0;

    if (http_run(u->m->http, &q, &p, NULL) == 0 && p.status / 100 == 2 && p.have > 0)
        at = p.complete ? size : p.have < size ? p.have : 0;
    http_reply_release(&p);
    return at;
}

/* One PUT from `at` on; 0 complete, -EAGAIN try again (from *at), else -errno, and the item's code
 * holds the master's answer. */
static int put_once(struct upload *u, const char *path, int fd, struct item *i, int64_t *at,
                    struct err *e)
{
    struct sending sending = {u, i, *at};
    struct http_request q = {.method = "PUT",
                             .path = path,
                             .body_fd = fd,
                             .body_at = *at,
                             .body_size = i->size - *at,
                             .body_total = i->size,
                             .cancel = &u->m->link.down,
                             .sent = on_sent,
                             .sent_arg = &sending};
    struct http_reply p;
    json_t *v;
    int r = http_run(u->m->http, &q, &p, e);

    snprintf(i->code, sizeof(i->code), "%s", p.code);
    if (r == -ECONNRESET || r == -EIO) {
        *at = ask_have(u, path, i->size);
        r = -EAGAIN;
    } else if (r == -EPROTO) {
        /* An intermediary refuses it (for instance by a proxy's limit): the link is not down. */
        snprintf(i->code, sizeof(i->code), "foreign");
    } else if ((r = link_judge(&u->m->link, r, &p, e)) == 0 && p.status / 100 != 2) {
        r = err_set(e, EIO, "the master refused an upload: %s", p.text);
        if (strcmp(p.code, WIRE_E_OFFSET) == 0 && (v = http_reply_json(&p, NULL))) {
            *at = json_integer_value(json_object_get(v, "have"));
            json_decref(v);
            r = *at >= 0 && *at < i->size ? -EAGAIN : r;
        }
    }
    http_reply_release(&p);
    return r;
}

/* The item is `running`: nobody else writes its code or removes it. */
static int upload_one(struct upload *u, struct item *i, struct err *e)
{
    char text[HASH_TEXT_CAP], *path, *outbox;
    int fd = store_open(u->m->store, &i->hash, i->size, INT64_MAX), tries, r = -EAGAIN;
    int64_t at;

    *i->code = '\0';
    if (fd < 0)
        return err_sys(e, -fd, "cannot read the content %.12s of a change from the cache",
                       hash_text(&i->hash, text));
    outbox = replica_outbox_id(u->m->replica);
    path = xasprintf("%s%s?outbox=%s", WIRE_OBJECT, hash_text(&i->hash, text), outbox);
    free(outbox);
    at = ask_have(u, path, i->size);
    for (tries = 0; r == -EAGAIN && tries < TRIES && at < i->size; tries++)
        r = put_once(u, path, fd, i, &at, e);
    if (r == -EAGAIN && at == i->size) /* verified already */
        r = 0;
    if (r == -EAGAIN && strcmp(i->code, WIRE_E_OFFSET) == 0) {
        r = -EIO; /* it answers well, and takes nothing */
    } else if (r == -EAGAIN) {
        link_fail(&u->m->link, e);
        r = -EIO;
    }
    crash_point("upload.sent");
    free(path);
    close(fd);
    return r;
}

static void *upload_main(void *arg)
{
    struct upload *u = arg;
    struct item *i, *next;

    worker_lock(&u->worker);
    while (!mirror_stopping(u->m)) {
        struct err e = {0};
        int r;

        next = NULL;
        for (i = u->items; i; i = i->next)
            if (i->queued)
                next = i; /* the oldest */
        if (!next) {
            worker_wait_locked(&u->worker, WORKER_NEVER);
            continue;
        }
        next->queued = false;
        next->running = true;
        worker_unlock(&u->worker);
        r = link_is_up(&u->m->link) ? upload_one(u, next, &e)
                                    : err_set(&e, EIO, "the master is away");
        worker_lock(&u->worker);
        next->running = false;
        next->done = r == 0;
        next->failed = r < 0;
        next->err = e;
        worker_unlock(&u->worker);
        wake_kick(&u->m->outbox_wake);
        worker_lock(&u->worker);
    }
    worker_unlock(&u->worker);
    return NULL;
}

int upload_start(struct upload *u)
{
    int r = 0;

    for (int i = 0; i < THREADS && r == 0; i++)
        r = worker_start(&u->worker, "upload", upload_main, u);
    return r;
}

void upload_stop(struct upload *u)
{
    worker_stop(&u->worker);
}
