/* SPDX-License-Identifier: MIT */
/*
 * changes: hands changed paths on, in commit order, from a thread that holds no lock: first to fs
 * (kernel notifications may block on a request that waits for us), then to the watch streams.
 */
#include "sync/mirror/transfer/changes.h"

#include <errno.h>
#include <stdlib.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/hooks.h"
#include "sync/mirror/transfer/peer.h"

#define WATCH_QUEUE_MAX 10000 /* paths; a reader that falls further behind is cut off */

struct watch {
    struct watch *next;
    const char *path;
    struct strlist queue;
    bool overrun;
};

struct tell {
    struct mirror *m;
    pthread_t thread;
    bool running;
    mirror_change_fn *fn;
    void *arg;
    pthread_mutex_t lock; /* guards queue, watches and what they hold */
    pthread_cond_t more, watch_more;
    struct strlist queue;
    bool all;
    struct watch *watches;
};

struct tell *tell_new(struct mirror *m)
{
    struct tell *t = xcalloc(1, sizeof(*t));

    t->m = m;
    mutex_init(&t->lock);
    cond_init(&t->more);
    cond_init(&t->watch_more);
    return t;
}

void tell_free(struct tell *t)
{
    if (!t)
        return;
    strlist_release(&t->queue);
    cond_destroy(&t->more);
    cond_destroy(&t->watch_more);
    mutex_destroy(&t->lock);
    free(t);
}

void tell_changed(struct tell *t, struct strlist *paths)
{
    size_t i;

    if (paths->n > 0) {
        mutex_lock(&t->lock);
        for (i = 0; i < paths->n; i++)
            strlist_add(&t->queue, paths->v[i]);
        cond_signal(&t->more);
        mutex_unlock(&t->lock);
    }
    strlist_release(paths);
}

void tell_all(struct tell *t)
{
    mutex_lock(&t->lock);
    t->all = true;
    cond_signal(&t->more);
    mutex_unlock(&t->lock);
}

static void feed_watches(struct tell *t, const struct strlist *paths)
{
    struct watch *w;
    size_t i;

    mutex_lock(&t->lock);
    for (w = t->watches; w; w = w->next)
        for (i = 0; i < paths->n; i++) {
            if (!path_is_under(paths->v[i], w->path))
                continue;
            if (w->queue.n >= WATCH_QUEUE_MAX)
                w->overrun = true;
            else
                strlist_add(&w->queue, paths->v[i]);
        }
    cond_broadcast(&t->watch_more);
    mutex_unlock(&t->lock);
}

static void *tell_main(void *arg)
{
    struct tell *t = arg;
    struct strlist batch;

    mutex_lock(&t->lock);
    while (!mirror_stopping(t->m)) {
        bool all = t->all;

        if (t->queue.n == 0 && !all) {
            cond_wait(&t->more, &t->lock);
            continue;
        }
        t->all = false;
        batch = t->queue;
        t->queue = (struct strlist){NULL, 0};
        mutex_unlock(&t->lock);
        if (t->fn && all)
            t->fn(t->arg, NULL, 0);
        if (t->fn && batch.n > 0)
            t->fn(t->arg, (const char *const *)batch.v, batch.n);
        feed_watches(t, &batch);
        hooks_changed(t->m->hooks, &batch);
        strlist_release(&batch);
        mutex_lock(&t->lock);
    }
    mutex_unlock(&t->lock);
    return NULL;
}

int tell_start(struct tell *t, mirror_change_fn *changed, void *arg)
{
    int r;

    t->fn = changed;
    t->arg = arg;
    r = thread_start(&t->thread, "tell", tell_main, t);
    t->running = r == 0;
    return r;
}

void tell_stop(struct tell *t)
{
    mutex_lock(&t->lock);
    cond_broadcast(&t->more);
    cond_broadcast(&t->watch_more);
    mutex_unlock(&t->lock);
    if (t->running)
        thread_join(t->thread);
    t->running = false;
}

static int send_batch(struct mirror *m, struct ctl_conn *conn, const struct strlist *batch)
{
    size_t i;
    int r = 0;

    for (i = 0; i < batch->n && r == 0; i++) {
        char *text;

        if (!peer_sees(m, conn, batch->v[i]))
            continue;
        text = path_encoded(batch->v[i]);
        r = ctl_reply(conn, json_pack("{s:s,s:s}", "event", "changed", "path", text));
        free(text);
    }
    return r;
}

void tell_watch(struct tell *t, struct ctl_conn *conn, const char *path)
{
    struct watch w = {.path = path}, **at;
    struct strlist batch;
    bool overrun = false;
    int r;

    mutex_lock(&t->lock);
    w.next = t->watches;
    t->watches = &w;
    mutex_unlock(&t->lock);
    r = ctl_reply(conn, json_pack("{s:b}", "ok", 1));
    mutex_lock(&t->lock);
    while (r == 0 && !overrun && !mirror_stopping(t->m) && !ctl_conn_closed(conn)) {
        if (w.queue.n == 0) {
            cond_wait_until(&t->watch_more, &t->lock, clock_mono_ms() + 500);
            continue;
        }
        batch = w.queue;
        w.queue = (struct strlist){NULL, 0};
        overrun = w.overrun;
        mutex_unlock(&t->lock);
        r = send_batch(t->m, conn, &batch);
        strlist_release(&batch);
        mutex_lock(&t->lock);
    }
    for (at = &t->watches; *at != &w; at = &(*at)->next)
        ;
    *at = w.next;
    mutex_unlock(&t->lock);
    strlist_release(&w.queue);
    if (overrun)
        ctl_reply_error(conn, "overrun", "too many changes at once: look at everything again");
}
