/* SPDX-License-Identifier: MIT */
#include "sync/master/commit/committer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/worker.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/publish/delete_guard.h"
#include "sync/master/db/checkpoint.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/ops/batch.h"
#include "sync/master/folder/volume.h"
#include "sync/master/publish/publish.h"
#include "sync/master/folder/visible.h"
#include "sync/master/db/head.h"

#define QUEUE_MAX 1000 /* observations; beyond it the scan workers wait */
#define BATCH_MAX 1000

struct call { /* on the caller's stack */
    int (*fn)(struct master *m, void *arg);
    void *arg;
    int result;
    bool done;
};

struct job {
    struct job *next;
    struct observation *o; /* one of these */
    struct batch *ops;
    struct call *call;
    bool scanned, confirm;
};

struct committer {
    struct master *m;
    struct worker worker; /* its lock guards the queue */
    atomic_int error;
    _Atomic int64_t busy_since; /* clock_mono_ms(); 0: waiting for work */
    /* the queue */
    pthread_cond_t room, called; /* it is shorter; a call is done */
    struct job *first, **last;
    size_t n;
    bool stopped; /* the thread has ended */
};

static void finish_call(struct committer *c, struct call *call, int r)
{
    worker_lock(&c->worker);
    if (call->result == 0)
        call->result = r;
    call->done = true;
    cond_broadcast(&c->called);
    worker_unlock(&c->worker);
}

static void finish(struct committer *c, struct job *jobs, int r)
{
    struct master *m = c->m;

    for (struct job *next; jobs; jobs = next) {
        next = jobs->next;
        if (jobs->ops)
            batch_finish(m, jobs->ops, r);
        if (jobs->call)
            finish_call(c, jobs->call, r);
        if (jobs->scanned && !atomic_exchange(&m->scanned, true))
            log_info("the first scan is complete: %lld changes in total",
                     (long long)head_seq(m->head));
        if (r < 0 && jobs->o)
            scan_queue_push(m->folder->scan_queue, jobs->o->path, SCAN_DEEP, 5000);
        observation_free(jobs->o);
        free(jobs);
    }
}

static void push(struct committer *c, struct job *j, bool may_wait)
{
    bool stopped;

    worker_lock(&c->worker);
    while (may_wait && c->n >= QUEUE_MAX && !worker_stopping_locked(&c->worker))
        cond_wait(&c->room, &c->worker.lock);
    stopped = c->stopped;
    if (!stopped) {
        *c->last = j;
        c->last = &j->next;
        c->n++;
        worker_wake_locked(&c->worker);
    }
    worker_unlock(&c->worker);
    if (stopped)
        finish(c, j, -ESHUTDOWN);
}

void committer_observe(struct committer *c, struct observation *o)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->o = o;
    push(c, j, true);
}

void committer_ops(struct committer *c, struct batch *b)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->ops = b;
    push(c, j, false);
}

int committer_call(struct committer *c, int (*fn)(struct master *m, void *arg), void *arg)
{
    struct call call = {.fn = fn, .arg = arg};
    struct job *j = xcalloc(1, sizeof(*j));

    j->call = &call;
    push(c, j, false);
    worker_lock(&c->worker);
    while (!call.done)
        cond_wait(&c->called, &c->worker.lock);
    worker_unlock(&c->worker);
    return call.result;
}

void committer_scanned(struct committer *c)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->scanned = true;
    push(c, j, false);
}

void committer_confirm(struct committer *c)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->confirm = true;
    push(c, j, false);
}

int committer_error(struct committer *c)
{
    return c->error;
}

bool committer_alive(struct committer *c, int64_t ms)
{
    int64_t since = c->busy_since;

    return since == 0 || clock_mono_ms() - since < ms;
}

/* False: the end. *ret may be NULL: the delete guard is due. */
static bool take(struct committer *c, struct job **ret)
{
    int64_t due = delete_guard_due(c->m->delete_guard);
    size_t n = 0;
    bool more;

    c->busy_since = 0;
    worker_lock(&c->worker);
    while (!c->first && clock_mono_ms() < due && worker_wait_locked(&c->worker, due))
        ;
    *ret = c->first;
    more = c->first || !worker_stopping_locked(&c->worker);
    if (c->first) {
        struct job **end = &c->first;
        while (*end && n < BATCH_MAX) {
            end = &(*end)->next;
            n++;
        }
        c->first = *end;
        *end = NULL;
        if (!c->first)
            c->last = &c->first;
        c->n -= n;
        cond_broadcast(&c->room);
    }
    worker_unlock(&c->worker);
    c->busy_since = clock_mono_ms();
    return more;
}

/* True when it published any. */
static bool run_delete_guard(struct master *m, int *r)
{
    int n = *r == 0 && clock_mono_ms() >= delete_guard_due(m->delete_guard)
                ? delete_guard_run(m->delete_guard)
                : 0;

    if (n < 0)
        *r = n;
    else if (n > 0 && !root_check(m->folder->root)) /* it went while we looked */
        *r = -ESTALE;
    return n > 0;
}

/* The mirror that asked for all the jobs; NULL: there is more. */
static const char *author_of(const struct job *jobs)
{
    const char *name = jobs && jobs->ops ? jobs->ops->who.name : NULL;

    for (const struct job *j = jobs; j && name; j = j->next)
        if (!j->ops || strcmp(j->ops->who.name, name) != 0)
            name = NULL;
    return name;
}

static void run_batch(struct committer *c, struct job *jobs)
{
    struct master *m = c->m;
    bool ok = root_check(m->folder->root), any_ops = false, others = false;
    const char *author = author_of(jobs);
    int r = tree_begin(m->tree);

    for (struct job *j = jobs; j && r == 0; j = j->next) {
        if (j->o && ok)
            r = observe(m, j->o);
        if (j->confirm) {
            volumes_forget_away(m->folder->volumes);
            r = delete_guard_confirm(m->delete_guard);
        }
        if (j->scanned && ok && r == 0)
            r = delete_guard_scanned(m->delete_guard);
        if (j->scanned && !m->scanned) /* all that is gone is known: no burst to wait for */
            delete_guard_now(m->delete_guard);
        if (j->ops) {
            any_ops = true;
            r = batch_apply(m, j->ops, ok);
            others |= j->ops->others;
        }
        if (j->call && ok)
            r = j->call->fn(m, j->call->arg);
        else if (j->call)
            j->call->result = -ENODEV;
    }
    if (ok && run_delete_guard(m, &r))
        author = NULL;
    if (r == 0 && ok)
        r = publish_folders(m);
    crash_point(any_ops ? "master.ops.applied" : "master.scan.applied");
    if (r == 0)
        r = tree_commit(m->tree);
    else
        tree_rollback(m->tree);
    delete_guard_committed(m->delete_guard, r == 0);
    if (r < 0 || !ok)
        delete_guard_put_off(m->delete_guard);
    crash_point(any_ops ? "master.ops.committed" : "master.scan.committed");
    if (r == 0 && any_ops)
        r = others ? db_sync_all(m->tree->db) : db_sync(m->tree->db);
    if (r < 0 && r != c->error)
        log_error("cannot commit to '%s': %s; retrying", m->db_path, strerror(-r));
    if (r < 0)
        checkpoint_wake(m->checkpoint);
    if (r == 0 && c->error < 0)
        log_info("'%s' can be written again", m->db_path);
    c->error = r;
    head_set(m->head, m->tree->seq, author);
    finish(c, jobs, r);
}

static void *committer_run(void *arg)
{
    struct committer *c = arg;
    struct job *jobs;

    while (take(c, &jobs))
        run_batch(c, jobs);
    return NULL;
}

int committer_start(struct master *m, struct committer **ret, struct err *e)
{
    struct committer *c = xcalloc(1, sizeof(*c));
    int r;

    c->m = m;
    c->last = &c->first;
    worker_init(&c->worker);
    cond_init(&c->room);
    cond_init(&c->called);
    r = worker_start(&c->worker, "committer", committer_run, c);
    if (r < 0) {
        committer_free(c);
        return err_sys(e, -r, "cannot start the committer");
    }
    *ret = c;
    return 0;
}

void committer_stop(struct committer *c)
{
    if (!c)
        return;
    worker_lock(&c->worker);
    worker_ask_stop_locked(&c->worker);
    cond_broadcast(&c->room);
    worker_unlock(&c->worker);
    worker_stop(&c->worker);
    worker_lock(&c->worker);
    c->stopped = true;
    worker_unlock(&c->worker);
    /* What slipped in between the thread's last look and now. */
    finish(c, c->first, -ESHUTDOWN);
    c->first = NULL;
}

void committer_free(struct committer *c)
{
    if (!c)
        return;
    cond_destroy(&c->room);
    cond_destroy(&c->called);
    worker_release(&c->worker);
    free(c);
}
