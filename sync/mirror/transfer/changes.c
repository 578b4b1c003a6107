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
#include "sync/common/worker.h"
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

struct changes {
    struct mirror *m;
    struct worker worker; /* its lock guards queue, watches and what they hold */
    mirror_change_fn *fn;
    void *arg;
    pthread_cond_t watch_more;
    struct strlist queue;
    bool all;
    struct watch *watches;
};

struct changes *changes_new(struct mirror *m)
{
    struct changes *t = xcalloc(1, sizeof(*t));

    t->m = m;
    worker_init(&t->worker);
    cond_init(&t->watch_more);
    return t;
}

void changes_free(struct changes *t)
{
    if (!t)
        return;
    strlist_release(&t->queue);
    cond_destroy(&t->watch_more);
    worker_release(&t->worker);
    free(t);
}

void changes_changed(struct changes *t, struct strlist *paths)
{
    size_t i;

    if (paths->n > 0) {
        worker_lock(&t->worker);
        for (i = 0; i < paths->n; i++)
            strlist_add(&t->queue, paths->v[i]);
        worker_wake_locked(&t->worker);
        worker_unlock(&t->worker);
    }
    strlist_release(paths);
}

void changes_all(struct changes *t)
{
    worker_lock(&t->worker);
    t->all = true;
    worker_wake_locked(&t->worker);
    worker_unlock(&t->worker);
}

static void feed_watches(struct changes *t, const struct strlist *paths)
{
    struct watch *w;
    size_t i;

    worker_lock(&t->worker);
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
    worker_unlock(&t->worker);
}

static void *tell_main(void *arg)
{
    struct changes *t = arg;
    struct strlist batch;

    worker_lock(&t->worker);
    while (!mirror_stopping(t->m)) {
        bool all = t->all;

        if (t->queue.n == 0 && !all) {
            worker_wait_locked(&t->worker, WORKER_NEVER);
            continue;
        }
        t->all = false;
        batch = t->queue;
        t->queue = (struct strlist){NULL, 0};
        worker_unlock(&t->worker);
        if (t->fn && all)
            t->fn(t->arg, NULL, 0);
        if (t->fn && batch.n > 0)
            t->fn(t->arg, (const char *const *)batch.v, batch.n);
        feed_watches(t, &batch);
        hooks_changed(t->m->hooks, &batch);
        strlist_release(&batch);
        worker_lock(&t->worker);
    }
    worker_unlock(&t->worker);
    return NULL;
}

int changes_start(struct changes *t, mirror_change_fn *changed, void *arg)
{
    t->fn = changed;
    t->arg = arg;
    return worker_start(&t->worker, "tell", tell_main, t);
}

void changes_stop(struct changes *t)
{
    worker_lock(&t->worker);
    cond_broadcast(&t->watch_more);
    worker_unlock(&t->worker);
    worker_stop(&t->worker);
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

void changes_watch(struct changes *t, struct ctl_conn *conn, const char *path)
{
    struct watch w = {.path = path}, **at;
    struct strlist batch;
    bool overrun = false;
    int r;

    worker_lock(&t->worker);
    w.next = t->watches;
    t->watches = &w;
    worker_unlock(&t->worker);
    r = ctl_reply(conn, json_pack("{s:b}", "ok", 1));
    worker_lock(&t->worker);
    while (r == 0 && !overrun && !mirror_stopping(t->m) && !ctl_conn_closed(conn)) {
        if (w.queue.n == 0) {
            cond_wait_until(&t->watch_more, &t->worker.lock, clock_mono_ms() + 500);
            continue;
        }
        batch = w.queue;
        w.queue = (struct strlist){NULL, 0};
        overrun = w.overrun;
        worker_unlock(&t->worker);
        r = send_batch(t->m, conn, &batch);
        strlist_release(&batch);
        worker_lock(&t->worker);
    }
    for (at = &t->watches; *at != &w; at = &(*at)->next)
        ;
    *at = w.next;
    worker_unlock(&t->worker);
    strlist_release(&w.queue);
    if (overrun)
        ctl_reply_error(conn, "overrun", "too many changes at once: look at everything again");
}
