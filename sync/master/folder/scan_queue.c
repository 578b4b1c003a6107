/* SPDX-License-Identifier: MIT */
/*
 * Two places hold a path that waits: the lanes of those that are due, and a binary heap of delayed
 * ones. A hash table keyed by the path finds it in either, so that a path that is asked for twice
 * is looked at once. What listings found is taken last in, first out: a scan goes down before it
 * goes on, so that not the whole tree waits at once. While a worker looks at a path, the same path
 * may be asked for and even be looked at by another: the committer checks every observation against
 * the file, so the stale one is dropped.
 */
#include "sync/master/folder/scan_queue.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/opt.h"
#include "sync/common/hash.h"
#include "sync/common/clock.h"
#include "sync/common/worker.h"

enum { LANE_EVENT, LANE_FOUND, LANE_LARGE, LANES };

struct scan_item {
    struct scan_item *next, *prev; /* in its lane */
    struct scan_item *bucket;      /* in the table */
    int64_t due;                   /* 0: in a lane, not in the heap */
    size_t at;                     /* place in the heap */
    uint32_t key;
    int flags, lane;
    char path[];
};

struct lane {
    struct scan_item *first, *last;
};

struct scan_queue {
    struct scan_hooks hooks;
    struct worker worker; /* its lock guards the rest */
    pthread_cond_t more,
        event; /* for threads that take all lanes; for threads that take events only */
    struct scan_item **table;
    size_t buckets, n; /* power of two; items in the table */
    struct lane lanes[LANES];
    struct scan_item **heap; /* earliest first */
    size_t heap_n, heap_cap;
    int64_t scan_left, scan_began, scan_ms;
    struct strlist last; /* put off until the rest of the scan was looked at */
};

static int lane_of(int flags)
{
    return flags & SCAN_LARGE                 ? LANE_LARGE
           : flags & (SCAN_FULL | SCAN_FOUND) ? LANE_FOUND
                                              : LANE_EVENT;
}

static uint32_t key_of(const char *path)
{
    return (uint32_t)hash64(path, strlen(path));
}

static struct scan_item **slot_locked(struct scan_queue *x, const char *path, uint32_t key)
{
    struct scan_item **p = &x->table[key & (x->buckets - 1)];

    while (*p && ((*p)->key != key || strcmp((*p)->path, path) != 0))
        p = &(*p)->bucket;
    return p;
}

static void grow_locked(struct scan_queue *x)
{
    size_t n = x->buckets * 2;
    struct scan_item **table = xcalloc(n, sizeof(struct scan_item *));

    for (size_t i = 0; i < x->buckets; i++) {
        for (struct scan_item *next, *it = x->table[i]; it; it = next) {
            next = it->bucket;
            it->bucket = table[it->key & (n - 1)];
            table[it->key & (n - 1)] = it;
        }
    }
    free(x->table);
    x->table = table;
    x->buckets = n;
}

/* One of those who may take it. */
static void wake_locked(struct scan_queue *x, bool event)
{
    if (event)
        cond_signal(&x->event);
    cond_signal(&x->more);
}

static void append_locked(struct scan_queue *x, struct scan_item *it)
{
    struct lane *lane = &x->lanes[it->lane];

    it->due = 0;
    if (it->lane == LANE_FOUND) {
        it->prev = NULL;
        it->next = lane->first;
    } else {
        it->prev = lane->last;
        it->next = NULL;
    }
    *(it->prev ? &it->prev->next : &lane->first) = it;
    *(it->next ? &it->next->prev : &lane->last) = it;
    wake_locked(x, it->lane == LANE_EVENT);
}

static void unlink_locked(struct scan_queue *x, struct scan_item *it)
{
    struct lane *lane = &x->lanes[it->lane];

    *(it->prev ? &it->prev->next : &lane->first) = it->next;
    *(it->next ? &it->next->prev : &lane->last) = it->prev;
}

static void heap_put(struct scan_queue *x, size_t at, struct scan_item *it)
{
    x->heap[at] = it;
    it->at = at;
}

/* Moves the item at `at` to where its due time belongs. */
static void heap_settle(struct scan_queue *x, size_t at)
{
    struct scan_item *it = x->heap[at];

    while (at > 0 && x->heap[(at - 1) / 2]->due > it->due) {
        heap_put(x, at, x->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < x->heap_n && x->heap[child + 1]->due < x->heap[child]->due)
            child++;
        if (child >= x->heap_n || x->heap[child]->due >= it->due)
            break;
        heap_put(x, at, x->heap[child]);
        at = child;
    }
    heap_put(x, at, it);
}

static void delay_locked(struct scan_queue *x, struct scan_item *it, int64_t due)
{
    if (x->heap_n == x->heap_cap) {
        x->heap_cap = x->heap_cap * 2 + 64;
        x->heap = xrealloc(x->heap, x->heap_cap * sizeof(struct scan_item *));
    }
    it->due = due;
    heap_put(x, x->heap_n++, it);
    heap_settle(x, it->at);
    if (it->at == 0) /* due before what they wait for */
        wake_locked(x, true);
}

static void undelay_locked(struct scan_queue *x, struct scan_item *it)
{
    size_t at = it->at;
    struct scan_item *last = x->heap[--x->heap_n];

    if (last != it) {
        heap_put(x, at, last);
        heap_settle(x, at);
    }
}

static void put_locked(struct scan_queue *x, struct scan_item *it, int64_t due)
{
    if (due)
        delay_locked(x, it, due);
    else
        append_locked(x, it);
}

/* An item of the scan more; the first one begins it. */
static void count_scan_locked(struct scan_queue *x)
{
    if (x->scan_left++ == 0) {
        x->scan_began = clock_mono_ms();
        x->hooks.begins(x->hooks.arg);
    }
}

/* A waiting path is queued once more: it takes the earlier of the two times. It keeps its turn in
 * its lane, or a path that changes all the time would never have one. */
static void merge_locked(struct scan_queue *x, struct scan_item *it, int flags, int64_t due)
{
    int lane = lane_of(flags);

    if (it->due == 0 && it->lane <= lane) {
        it->flags |= flags & ~SCAN_LARGE;
        return;
    }
    if (it->due > 0) {
        undelay_locked(x, it);
        due = due < it->due ? due : it->due;
    } else {
        unlink_locked(x, it);
        due = 0;
    }
    it->lane = lane < it->lane ? lane : it->lane;
    it->flags |= flags;
    if (it->lane != LANE_LARGE)
        it->flags &= ~SCAN_LARGE;
    put_locked(x, it, due);
}

static void push_locked(struct scan_queue *x, const char *path, int flags, int64_t delay_ms)
{
    int64_t due = delay_ms > 0 ? clock_mono_ms() + delay_ms : 0;
    uint32_t key = key_of(path);
    struct scan_item **slot = slot_locked(x, path, key), *it = *slot;

    if ((flags & SCAN_FULL) && (!it || !(it->flags & SCAN_FULL)))
        count_scan_locked(x);
    if (!it) {
        size_t len = strlen(path) + 1;
        it = *slot = xcalloc(1, sizeof(*it) + len);
        memcpy(it->path, path, len);
        it->key = key;
        it->flags = flags;
        it->lane = lane_of(flags);
        put_locked(x, it, due);
        if (++x->n > x->buckets)
            grow_locked(x);
    } else {
        merge_locked(x, it, flags, due);
    }
}

void scan_queue_push(struct scan_queue *x, const char *path, int flags, int64_t delay_ms)
{
    worker_lock(&x->worker);
    push_locked(x, path, flags, delay_ms);
    worker_unlock(&x->worker);
}

void scan_queue_put_off(struct scan_queue *x, const char *path)
{
    worker_lock(&x->worker);
    strlist_add(&x->last, path);
    worker_unlock(&x->worker);
}

/* All else was looked at: the postponed looks begin. */
static void push_last_locked(struct scan_queue *x)
{
    for (size_t i = 0; i < x->last.n; i++)
        push_locked(x, x->last.v[i], SCAN_DEEP | SCAN_FOUND | SCAN_FULL | SCAN_LAST, 0);
    strlist_release(&x->last);
}

bool scan_queue_scanning(struct scan_queue *x)
{
    bool yes;

    worker_lock(&x->worker);
    yes = x->scan_left > 0;
    worker_unlock(&x->worker);
    return yes;
}

int64_t scan_queue_scan_ms(struct scan_queue *x)
{
    int64_t ms;

    worker_lock(&x->worker);
    ms = x->scan_ms;
    worker_unlock(&x->worker);
    return ms;
}

int64_t scan_queue_waiting(struct scan_queue *x)
{
    int64_t n;

    worker_lock(&x->worker);
    n = (int64_t)x->n;
    worker_unlock(&x->worker);
    return n;
}

static struct scan_item *first_locked(struct scan_queue *x, int lanes)
{
    struct scan_item *it = NULL;

    for (int i = 0; i < lanes && !it; i++)
        it = x->lanes[i].first;
    return it;
}

struct scan_item *scan_queue_take(struct scan_queue *x, bool events_only)
{
    pthread_cond_t *cond = events_only ? &x->event : &x->more;
    struct scan_item *it = NULL, **slot;

    worker_lock(&x->worker);
    while (!worker_stopping_locked(&x->worker)) {
        int64_t now = clock_mono_ms();

        while (x->heap_n > 0 && x->heap[0]->due <= now) {
            it = x->heap[0];
            undelay_locked(x, it);
            append_locked(x, it);
        }
        it = first_locked(x, events_only ? LANE_EVENT + 1 : LANES);
        if (it)
            break;
        if (x->heap_n > 0)
            cond_wait_until(cond, &x->worker.lock, x->heap[0]->due);
        else
            cond_wait(cond, &x->worker.lock);
    }
    if (worker_stopping_locked(&x->worker)) {
        it = NULL;
    } else {
        unlink_locked(x, it);
        slot = slot_locked(x, it->path, it->key);
        *slot = it->bucket;
        x->n--;
    }
    worker_unlock(&x->worker);
    return it;
}

const char *scan_item_path(const struct scan_item *it)
{
    return it->path;
}

int scan_item_flags(const struct scan_item *it)
{
    return it->flags;
}

bool scan_queue_done(struct scan_queue *x, struct scan_item *it)
{
    bool ended = false;

    worker_lock(&x->worker);
    if ((it->flags & SCAN_FULL) && x->scan_left == 1)
        push_last_locked(x);
    if ((it->flags & SCAN_FULL) && --x->scan_left == 0) {
        ended = true;
        x->scan_ms = clock_mono_ms() - x->scan_began + 1;
        x->hooks.ends(x->hooks.arg);
    }
    worker_unlock(&x->worker);
    free(it);
    return ended;
}

struct scan_queue *scan_queue_new(const struct scan_hooks *hooks)
{
    struct scan_queue *x = xcalloc(1, sizeof(*x));

    x->hooks = *hooks;
    x->buckets = 1024;
    x->table = xcalloc(x->buckets, sizeof(struct scan_item *));
    worker_init(&x->worker);
    cond_init(&x->more);
    cond_init(&x->event);
    return x;
}

int scan_queue_start_thread(struct scan_queue *x, void *(*run)(void *), void *arg)
{
    return worker_start(&x->worker, "scan", run, arg);
}

void scan_queue_stop(struct scan_queue *x)
{
    if (!x)
        return;
    worker_lock(&x->worker);
    worker_ask_stop_locked(&x->worker);
    cond_broadcast(&x->more);
    cond_broadcast(&x->event);
    worker_unlock(&x->worker);
    worker_stop(&x->worker);
}

void scan_queue_free(struct scan_queue *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->buckets; i++) {
        for (struct scan_item *next, *it = x->table[i]; it; it = next) {
            next = it->bucket;
            free(it);
        }
    }
    free(x->table);
    free(x->heap);
    strlist_release(&x->last);
    worker_release(&x->worker);
    cond_destroy(&x->more);
    cond_destroy(&x->event);
    free(x);
}
