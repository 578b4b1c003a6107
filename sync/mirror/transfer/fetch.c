/* SPDX-License-Identifier: MIT */
/*
 * fetch: contents from the master into the store. One entry per wanted content in a hash table,
 * with all its waiters; two queues: contents with waiting readers come before prefetched ones.
 * Demand threads serve the first queue only, so a prefetch never delays a reader.
 */
#include "sync/mirror/transfer/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/common/worker.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store_admin.h"
#include "sync/mirror/transfer/context.h"
#include "sync/proto/http_client.h"
#include "sync/proto/wire.h"

#define DEMAND_THREADS   4
#define PREFETCH_THREADS 2
#define BUCKETS          1024
#define TRIES            5     /* in a row, each without … */
#define STEP             65536 /* … so many bytes that never came before */
#define BREAKS           3     /* of the link that one want outlives */
#define BREAK_MS         2000  /* see link_is_back() */

struct waiter {
    struct waiter *next;
    mirror_done_fn *done;
    void *arg;
};

enum { DEMAND, AHEAD, N_QUEUES, RUNNING = N_QUEUES };

struct want {
    struct want *next;  /* in the bucket */
    struct want *after; /* in its queue */
    struct hash hash;
    int64_t size;
    int where; /* DEMAND, AHEAD or RUNNING */
    struct waiter *waiters;
};

struct queue {
    struct want *first, **last;
    size_t n;
};

#define AGAIN_MS     2000 /* a damaged content is asked for again; each time later */
#define AGAIN_MAX_MS 600000

struct fetcher {
    struct fetch *f;
    bool ahead; /* also takes prefetches */
};

struct fetch {
    struct mirror *m;
    struct fetcher fetcher[DEMAND_THREADS + PREFETCH_THREADS];
    atomic_bool came_in;
    struct worker worker; /* its lock guards what follows */
    struct want *bucket[BUCKETS];
    struct {                       /* the last content that came damaged */
        struct hash hash;          /* or none */
        int64_t size, next, pause; /* asked for again at `next`, mono ms */
    } damaged;
    struct queue queue[N_QUEUES];
};

struct fetch *fetch_new(struct mirror *m)
{
    struct fetch *f = xcalloc(1, sizeof(*f));
    int i;

    f->m = m;
    worker_init(&f->worker);
    for (i = 0; i < N_QUEUES; i++)
        f->queue[i].last = &f->queue[i].first;
    return f;
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    worker_release(&f->worker);
    free(f);
}

static struct want **slot(struct fetch *f, const struct hash *h)
{
    struct want **at = &f->bucket[(h->b[0] | h->b[1] << 8) % BUCKETS];

    while (*at && !hash_eq(&(*at)->hash, h))
        at = &(*at)->next;
    return at;
}

static void put_locked(struct fetch *f, struct want *w, int queue)
{
    struct queue *q = &f->queue[queue];

    w->where = queue;
    w->after = NULL;
    *q->last = w;
    q->last = &w->after;
    q->n++;
}

static struct want *take_locked(struct fetch *f, int queue)
{
    struct queue *q = &f->queue[queue];
    struct want *w = q->first;

    if (!w)
        return NULL;
    q->first = w->after;
    if (!q->first)
        q->last = &q->first;
    q->n--;
    w->where = RUNNING;
    return w;
}

/* A reader waits now for a content that was only to be prefetched. */
static void promote_locked(struct fetch *f, struct want *w)
{
    struct queue *q = &f->queue[AHEAD];
    struct want **at = &q->first;

    while (*at != w)
        at = &(*at)->after;
    *at = w->after;
    if (q->last == &w->after)
        q->last = at;
    q->n--;
    put_locked(f, w, DEMAND);
}

void fetch_want(struct fetch *f, const struct hash *h, int64_t size, mirror_done_fn *done,
                void *arg)
{
    struct want **at, *w;
    struct waiter *n;

    worker_lock(&f->worker);
    at = slot(f, h);
    w = *at;
    if (!w) {
        w = *at = xcalloc(1, sizeof(*w));
        w->hash = *h;
        w->size = size;
        put_locked(f, w, done ? DEMAND : AHEAD);
    } else if (done && w->where == AHEAD) {
        promote_locked(f, w);
    }
    if (done) {
        n = xcalloc(1, sizeof(*n));
        n->done = done;
        n->arg = arg;
        n->next = w->waiters;
        w->waiters = n;
    }
    worker_wake_locked(&f->worker);
    worker_unlock(&f->worker);
}

size_t fetch_queued(struct fetch *f)
{
    size_t n;

    worker_lock(&f->worker);
    n = f->queue[AHEAD].n;
    worker_unlock(&f->worker);
    return n;
}

bool fetch_came_in(struct fetch *f)
{
    return atomic_exchange(&f->came_in, false);
}

/* A content on its way into a staging file. */
struct arrival {
    int fd;
    struct hash_stream *sum;
    int64_t got, size;
    const struct http_reply *reply; /* of the present request; its headers are read */
    bool begun;                     /* a byte of its body came */
};

static int start_over(struct arrival *a)
{
    struct hash ignored;

    hash_stream_end(a->sum, &ignored);
    a->got = 0;
    return ftruncate(a->fd, 0) < 0 ? -errno : 0; /* zeros are left out from here on */
}

static int take_bytes(void *arg, const void *data, size_t len)
{
    struct arrival *a = arg;
    int r;

    if (!a->begun && a->reply->from != a->got) {
        if (a->reply->from != 0)
            return -EPROTO;
        r = start_over(a); /* only the rest was asked for, but the whole comes */
        if (r < 0)
            return r;
    }
    a->begun = true;
    if (a->got + (int64_t)len > a->size)
        return -EBADMSG;
    r = file_pwrite_sparse(a->fd, data, len, a->got);
    if (r < 0)
        return r;
    hash_stream_add(a->sum, data, len);
    a->got += (int64_t)len;
    return 0;
}

/* One GET from a->got on. 0: body ended well; -EAGAIN: broken off, try the rest. */
static int get_once(struct fetch *f, const struct want *w, struct arrival *a, struct err *e)
{
    char text[HASH_TEXT_CAP], path[96];
    struct http_request q = {.method = "GET", .path = path, .range_from = a->got};
    struct http_reply p;
    int r;

    a->reply = &p;
    a->begun = false;
    snprintf(path, sizeof(path), "%s%s", WIRE_OBJECT, hash_text(&w->hash, text));
    q.sink = take_bytes;
    q.sink_arg = a;
    q.cancel = &f->m->link.down;
    r = http_run(f->m->http, &q, &p, e);
    if (r == -EBADMSG) {
        r = 0; /* too long: the digest will not match */
    } else if (r == -ECONNRESET) {
        r = -EAGAIN;
    } else if (r == 0 && p.status == 503) {
        r = err_set(e, EAGAIN, "%s", p.text);
    } else if (r == -ENOSPC || r == -EDQUOT || r == -EROFS) {
        r = -ENOSPC;
    } else if ((r = link_judge(&f->m->link, r, &p, e)) == 0) {
        if (p.status == 404 && strcmp(p.code, WIRE_E_GONE) == 0)
            r = -ESTALE;
        else if (p.status / 100 != 2)
            r = err_set(e, EIO, "the master refused a content: %s", p.text);
    }
    http_reply_release(&p);
    return r;
}

/* The received content is not the requested one. */
static void report_damaged(struct fetch *f, const struct want *w, int64_t got,
                           const struct hash *sum)
{
    char text[HASH_TEXT_CAP], other[HASH_TEXT_CAP], why[512];
    char *path = replica_path_of(f->m->replica, &w->hash), *shown = path_encoded(path);

    snprintf(why, sizeof(why),
             "the content of '%.150s' arrived damaged from '%.80s': %lld of %lld bytes, hash %.14s "
             "instead of %.14s; it is not used",
             shown, f->m->cfg.url, (long long)got, (long long)w->size, hash_text(sum, other),
             hash_text(&w->hash, text));
    worker_lock(&f->worker);
    if (!hash_eq(&f->damaged.hash, &w->hash) || f->damaged.pause == 0)
        f->damaged.pause = AGAIN_MS;
    else if (f->damaged.pause < AGAIN_MAX_MS)
        f->damaged.pause *= 2;
    f->damaged.hash = w->hash;
    f->damaged.size = w->size;
    f->damaged.next = clock_mono_ms() + f->damaged.pause;
    worker_unlock(&f->worker);
    fault_set(&f->m->faults, FAULT_CONTENT, why,
              "look for a proxy or cache between here and the master that alters data, and check "
              "the master's disk; the mount fetches the content again when it is read, and from "
              "time to time");
    free(shown);
    free(path);
}

/* The content that came damaged is here, or is no more. */
static void clear_damaged(struct fetch *f, const struct hash *h)
{
    bool was;

    worker_lock(&f->worker);
    was = !hash_is_none(&f->damaged.hash) && hash_eq(&f->damaged.hash, h);
    if (was)
        memset(&f->damaged, 0, sizeof(f->damaged));
    worker_unlock(&f->worker);
    if (was)
        fault_set(&f->m->faults, FAULT_CONTENT, "", "");
}

void fetch_damaged_again(struct fetch *f)
{
    struct hash h;
    int64_t size;
    bool due;

    worker_lock(&f->worker);
    due = !hash_is_none(&f->damaged.hash) && clock_mono_ms() >= f->damaged.next;
    h = f->damaged.hash;
    size = f->damaged.size;
    if (due)
        f->damaged.next = clock_mono_ms() + f->damaged.pause;
    worker_unlock(&f->worker);
    if (due)
        fetch_want(f, &h, size, NULL, NULL);
}

/* The whole content into a fresh staging file; 0, -EBADMSG (wrong digest), -ESTALE, … */
static int transfer(struct fetch *f, const struct want *w)
{
    struct arrival a = {.fd = -1, .size = w->size};
    struct err e = {0};
    struct hash sum;
    char *name = NULL;
    int64_t most = 0;
    int r, tries = 0;

    a.fd = store_stage(f->m->store, &name);
    if (a.fd < 0)
        return a.fd;
    a.sum = hash_stream_new();
    do {
        r = get_once(f, w, &a, &e);
        tries = a.got >= most + STEP ? 0 : tries + 1;
        most = a.got > most ? a.got : most;
    } while (r == -EAGAIN && tries < TRIES && !mirror_stopping(f->m));
    if (r == -EAGAIN) {
        link_fail(&f->m->link, &e);
        r = -EIO;
    }
    hash_stream_end(a.sum, &sum);
    hash_stream_free(a.sum);
    close(a.fd);
    if (r == 0 && (a.got != a.size || !hash_eq(&sum, &w->hash))) {
        report_damaged(f, w, a.got, &sum);
        r = -EBADMSG;
    }
    if (r == 0 || r == -ESTALE)
        clear_damaged(f, &w->hash);
    if (r == 0)
        r = store_publish(f->m->store, name, &w->hash, false);
    if (r < 0)
        store_discard(f->m->store, name);
    else
        atomic_store(&f->came_in, true);
    free(name);
    return r;
}

/*
 * The first moments of an absence are waited out: most broken connections are back at once. The
 * bound counts from the break and not from the request, so nobody waits in a long absence.
 */
static bool link_is_back(struct fetch *f)
{
    struct link *l = &f->m->link;
    int64_t until;

    mutex_lock(&l->lock);
    until = l->since + BREAK_MS;
    mutex_unlock(&l->lock);
    while (!link_is_up(l) && !mirror_stopping(f->m) && clock_mono_ms() < until)
        link_wait_up(l, until);
    return link_is_up(l);
}

static int get_content(struct fetch *f, const struct want *w)
{
    int r, breaks = 0;

    if (store_has(f->m->store, &w->hash, w->size) &&
        store_verify(f->m->store, &w->hash, w->size) == 0)
        return 0;
    do {
        if (!link_is_back(f))
            return -EIO;
        r = transfer(f, w);
    } while (r < 0 && !link_is_up(&f->m->link) && ++breaks < BREAKS);
    if (r == -ENOSPC) {
        store_make_room(f->m->store, w->size);
        r = transfer(f, w);
    } else if (r == -EBADMSG) {
        r = transfer(f, w);
    }
    return r == -ESTALE || r == -ENOSPC || r == 0 ? r : -EIO;
}

/* Removes the want and calls all its waiters. Called without the lock. */
static void finish(struct fetch *f, struct want *w, int result)
{
    struct want **at;
    struct waiter *n;

    worker_lock(&f->worker);
    at = slot(f, &w->hash);
    *at = w->next;
    worker_unlock(&f->worker);
    while ((n = w->waiters)) {
        w->waiters = n->next;
        n->done(n->arg, result);
        free(n);
    }
    free(w);
}

static void *fetch_main(void *arg)
{
    struct fetcher *k = arg;
    struct fetch *f = k->f;
    struct want *w;

    worker_lock(&f->worker);
    while (!mirror_stopping(f->m)) {
        w = take_locked(f, DEMAND);
        if (!w && k->ahead)
            w = take_locked(f, AHEAD);
        if (!w) {
            worker_wait_locked(&f->worker, WORKER_NEVER);
            continue;
        }
        worker_unlock(&f->worker);
        finish(f, w, get_content(f, w));
        worker_lock(&f->worker);
    }
    worker_unlock(&f->worker);
    return NULL;
}

int fetch_start(struct fetch *f)
{
    int i, r = 0;

    for (i = 0; i < DEMAND_THREADS + PREFETCH_THREADS && r == 0; i++) {
        f->fetcher[i].f = f;
        f->fetcher[i].ahead = i >= DEMAND_THREADS;
        r = worker_start(&f->worker, "fetch", fetch_main, &f->fetcher[i]);
    }
    return r;
}

void fetch_stop(struct fetch *f)
{
    struct want *w;
    int i;

    worker_stop(&f->worker);
    for (i = 0; i < N_QUEUES; i++) {
        for (;;) {
            worker_lock(&f->worker);
            w = take_locked(f, i);
            worker_unlock(&f->worker);
            if (!w)
                break;
            finish(f, w, -EIO);
        }
    }
}
