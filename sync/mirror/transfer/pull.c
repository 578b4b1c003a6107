/* SPDX-License-Identifier: MIT */
/*
 * pull: follows the master. Each contact begins with hello (the master's id, the mirror's scope);
 * then page sets are staged and applied at their commit line, and a long poll waits for the next.
 * When anything fails the link is down, and hello is retried.
 */
#include "sync/mirror/transfer/pull.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"
#include "sync/common/worker.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/reserve.h"
#include "sync/mirror/store/store.h"
#include "sync/mirror/transfer/changes.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/feed_page.h"
#include "sync/mirror/transfer/prefetch.h"
#include "sync/mirror/transfer/renewal.h"
#include "sync/proto/cursor.h"
#include "sync/proto/http_client.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

#define BACKOFF_MIN  100
#define BACKOFF_MAX  5000
#define BACKOFF_DENY 15000
#define INLINE_FIRST 4096 /* bytes, while listing */
#define ROOM         (1024 * 1024)
#define PAGE_RATE    256    /* bytes a second: a page that comes more slowly does not come */
#define PAGE_MS      300000 /* for one page */

struct pull {
    struct mirror *m;
    struct worker worker;
    bool running; /* the thread is started; the first listing asks for no inline contents */
    atomic_bool in_step;
    atomic_llong step_at; /* mono ms when it was last known to be at the head */
    struct feed_page *page;
    bool local;       /* this mirror's own disk failed: the link keeps its state */
    bool looked;      /* a full listing was taken in this process */
    int64_t page_ms;  /* for one page to come */
    int64_t deadline; /* mono ms, of the page that is asked for */
};

struct pull *pull_new(struct mirror *m)
{
    struct pull *p = xcalloc(1, sizeof(*p));

    p->m = m;
    worker_init(&p->worker);
    p->page = feed_page_new(m);
    p->page_ms = PAGE_MS;
    return p;
}

void pull_free(struct pull *p)
{
    if (!p)
        return;
    worker_release(&p->worker);
    feed_page_free(p->page);
    free(p);
}

bool pull_in_step(struct pull *p, int64_t *since)
{
    *since = atomic_load(&p->step_at);
    return atomic_load(&p->in_step);
}

/* The cache cannot be written. */
static int fail_here(struct pull *p, int r, struct err *e, const char *what)
{
    p->local = true;
    return err_sys(e, -r, "%s '%s'", what, p->m->cfg.cache);
}

/* --- hello --- */

static int take_hello(struct pull *p, json_t *v, struct err *e)
{
    struct remote remote = {0};
    const char *id = NULL, *name = NULL;
    int64_t protocol = 0, scopegen = 0;
    size_t i;
    json_t *x;
    int r;

    if (json_get_int(v, "protocol", 0, INT32_MAX, false, 0, &protocol, e) < 0 ||
        json_get_text(v, "master_id", &id, e) < 0 || json_get_text(v, "name", &name, e) < 0 ||
        json_get_int(v, "scopegen", 0, INT64_MAX, false, 0, &scopegen, e) < 0)
        return -EPROTO;
    if (protocol != WIRE_PROTOCOL)
        return err_set(e, EPROTO,
                       "the master speaks protocol %lld, this mirror %d: update the older one",
                       (long long)protocol, WIRE_PROTOCOL);
    if (scope_from_json(v, &remote.scope) < 0)
        return err_set(e, EPROTO, "the master's hello has no valid scope");
    json_array_foreach(json_object_get(v, "exclude"), i, x)
    {
        if (json_is_string(x))
            strlist_add(&remote.exclude, json_string_value(x));
    }
    (void)json_get_paths(v, "volumes", &remote.volumes); /* optional */
    remote.master_id = id;
    remote.url = p->m->cfg.url;
    remote.name = name;
    remote.scopegen = scopegen;
    remote.folder_times = json_is_true(json_object_get(v, "folder_times"));
    r = replica_set_remote(p->m->replica, &remote);
    if (r == 1)
        changes_all(p->m->changes);
    if (r >= 0) {
        mutex_lock(&p->m->lock);
        snprintf(p->m->name, sizeof(p->m->name), "%s", name);
        mutex_unlock(&p->m->lock);
    }
    scope_release(&remote.scope);
    strlist_release(&remote.exclude);
    strlist_release(&remote.volumes);
    if (r == -EXDEV)
        return err_set(
            e, EXDEV,
            "the cache '%s' belongs to another master than the one at '%s'; mount the old "
            "address, or choose an empty 'cache' folder",
            p->m->cfg.cache, p->m->cfg.url);
    if (r >= 0)
        r = replica_note_epoch(p->m->replica, json_integer_value(json_object_get(v, "epoch")));
    if (r >= 0)
        r = replica_outbox_retry_allowed(p->m->replica);
    if (r > 0) {
        log_info("%d changes are within the scope now: they are sent again", r);
        wake_kick(&p->m->outbox_wake);
    }
    return r < 0 ? fail_here(p, r, e, "cannot write the cache") : 0;
}

static int say_hello(struct pull *p, struct err *e)
{
    struct http_request q = {.method = "GET", .path = WIRE_HELLO, .type = "application/json"};
    struct http_reply reply;
    json_t *v = NULL;
    int r = http_run(p->m->http, &q, &reply, e);

    r = link_judge(&p->m->link, r, &reply, e);
    if (r < 0 && r != -EACCES && reply.status >= 500) {
        e->code = EAGAIN; /* also from a proxy before a master that is not there yet */
        r = -EAGAIN;
    } else if (r == 0 && reply.status != 200) {
        /* 429: wrong tokens came from this address, perhaps another's */
        r = err_set(e, reply.status == 429 || reply.status == 507 ? EAGAIN : EREMOTEIO,
                    "the master at '%s' answered: %s", p->m->cfg.url, reply.text);
        link_fail(&p->m->link, e);
    } else if (r == 0) {
        v = http_reply_json(&reply, e);
        r = v ? take_hello(p, v, e) : -EPROTO;
        if (r == -EXDEV)
            fault_set(&p->m->faults, FAULT_MASTER, e->text,
                      "mount the old address, or choose an empty 'cache' folder");
        if (r < 0 && !p->local)
            link_fail(&p->m->link, e);
        else if (r == 0)
            fault_set(&p->m->faults, FAULT_MASTER, "", "");
    }
    json_decref(v);
    http_reply_release(&reply);
    return r;
}

/* --- pages --- */

static int take_page(void *arg, const void *data, size_t len)
{
    struct pull *p = arg;

    return clock_mono_ms() > p->deadline ? -ETIMEDOUT : feed_page_take(p->page, data, len);
}

static size_t inline_wanted(struct pull *p, bool full)
{
    if (!p->running || !prefetch_any(p->m->prefetch) || !prefetch_room(p->m->prefetch))
        return 0;
    return full || !atomic_load(&p->in_step) ? INLINE_FIRST : WIRE_INLINE_MAX;
}

/* The answer says whether the master has gone back in time. */
static void note_reset(struct pull *p, const struct http_reply *reply)
{
    json_t *o = json_loadb(reply->body.data ? reply->body.data : "", reply->body.len, 0, NULL);

    replica_lost_expect(p->m->replica, o);
    json_decref(o);
}

/* One page from `since`. 0: it is staged; -ESTALE: reset; else -errno. */
static int get_page(struct pull *p, const char *since, bool full, int wait_s, struct err *e)
{
    const struct err *fault = feed_page_fault(p->page);
    size_t inline_max = inline_wanted(p, full);
    char path[CURSOR_CAP + 128];
    struct http_request q = {.method = "GET",
                             .path = path,
                             .type = "application/x-ndjson",
                             .wait_s = wait_s,
                             .min_rate = wait_s ? 0 : PAGE_RATE,
                             .sink = take_page,
                             .sink_arg = p,
                             .cancel = &p->m->link.down};
    struct http_reply reply;
    int r;

    feed_page_begin(p->page, inline_max);
    p->deadline = clock_mono_ms() + p->page_ms + wait_s * 1000;
    snprintf(path, sizeof(path), "%s?since=%s&limit=%d&wait=%d&inline=%zu", WIRE_CHANGES, since,
             WIRE_PAGE_MAX, wait_s, inline_max);
    r = http_run(p->m->http, &q, &reply, e);
    if (r < 0 && fault->code) {
        *e = *fault;
        r = -fault->code;
        p->local = feed_page_failed_here(p->page);
    }
    if (!p->local)
        r = link_judge(&p->m->link, r, &reply, e);
    if (r == 0 && reply.status == 409 && strcmp(reply.code, WIRE_E_RESET) == 0) {
        note_reset(p, &reply);
        r = err_set(e, ESTALE, "the master asks for a new listing");
    } else if (r == 0 && reply.status != 200)
        r = err_set(e, EREMOTEIO, "the master refuses the feed: %s", reply.text);
    else if (r == 0)
        r = feed_page_end(p->page, e);
    http_reply_release(&reply);
    return r;
}

static int commit(struct pull *p, const char *was, bool full, struct err *e)
{
    const char *cursor = feed_page_cursor(p->page);
    struct strlist changed = {NULL, 0};
    int r = 0;

    crash_point("pull.commit");
    if (feed_page_entries(p->page) > 0 || full || strcmp(was, cursor) != 0)
        r = replica_feed_commit(p->m->replica, cursor, full, &changed);
    if (r < 0)
        return fail_here(p, r, e, "cannot apply the feed to the cache");
    fault_set(&p->m->faults, FAULT_DISK, "", "");
    changes_changed(p->m->changes, &changed);
    atomic_store(&p->step_at, clock_mono_ms());
    atomic_store(&p->in_step, true);
    if (full)
        prefetch_walk(p->m->prefetch);
    else
        feed_page_fetch_ahead(p->page);
    return 0;
}

/* One page set from `cursor` to its commit line. */
static int follow(struct pull *p, const char *cursor, bool full, int wait_s, struct err *e)
{
    int r;

    feed_page_begin_set(p->page, cursor, !full);
    do {
        r = get_page(p, feed_page_cursor(p->page), full, wait_s, e);
        if (r < 0)
            break;
        wait_s = 0;
        if (!feed_page_is_commit(p->page) && feed_page_entries(p->page) > 0 &&
            atomic_load(&p->in_step)) {
            atomic_store(&p->step_at, clock_mono_ms()); /* in step while the poll was parked */
            atomic_store(&p->in_step, false);
        }
    } while (!feed_page_is_commit(p->page) && !mirror_stopping(p->m));
    if (r == 0)
        r = feed_page_is_commit(p->page) ? commit(p, cursor, full, e) : -ECANCELED;
    if (r < 0)
        replica_feed_drop(p->m->replica);
    return r;
}

int pull_first(struct pull *p, int64_t page_ms, struct err *e)
{
    int r = say_hello(p, e);

    if (r == 0) {
        link_ok(&p->m->link);
        replica_feed_drop(p->m->replica);
        p->page_ms = page_ms;
        r = follow(p, "", true, 0, e);
        p->page_ms = PAGE_MS;
    }
    return r;
}

int pull_check_address(struct pull *p, struct err *e)
{
    char *known = replica_url(p->m->replica);
    struct err unknown = {0};
    int r = 0;

    if (strcmp(known, p->m->cfg.url) != 0)
        r = say_hello(p, &unknown);
    free(known);
    if (r != -EXDEV)
        return 0;
    *e = unknown;
    return r;
}

/* --- the thread --- */

static void rest(struct pull *p, int64_t ms)
{
    int64_t until;
    uint16_t noise;

    file_random(&noise, sizeof(noise));
    until = clock_mono_ms() + ms * 3 / 4 + ms * noise / 65536 / 2;
    worker_lock(&p->worker);
    while (clock_mono_ms() < until && worker_wait_locked(&p->worker, until))
        ;
    worker_unlock(&p->worker);
}

/* Where the feed goes on; "" asks for a full listing. */
static char *where(struct pull *p)
{
    char *text = replica_cursor(p->m->replica);
    struct cursor c;

    if (cursor_parse(text, &c) == 0 && c.full0 < 0)
        return text;
    free(text);
    return xstrdup("");
}

/* What could not be taken may be understood by now. */
static bool any_skipped(struct pull *p)
{
    json_t *list;
    bool any = replica_skipped(p->m->replica, &list) > 0;

    json_decref(list);
    return any;
}

/* It stays as it is: errors, and nothing that is missing. */
static int give_up(struct pull *p, struct err *e)
{
    fault_set(
        &p->m->faults, FAULT_DATABASE,
        "the database of the cache was rebuilt from the master more than once and is damaged again",
        "check the disk, then unmount and mount again; waiting changes are kept");
    p->local = true;
    return err_set(e, EUCLEAN, "the database of the cache is damaged again");
}

/* The database is damaged: a new one, and all that the master has. What has been done of it already
 * is not done again after a failure, unless the new one is damaged as well. */
static int renew(struct pull *p, struct err *e)
{
    struct replica *replica = p->m->replica;
    bool began = replica_is_renewing(replica);
    int r = 0;

    fault_set(&p->m->faults, FAULT_DATABASE,
              "the database of the cache is damaged and is being rebuilt from the master",
              "nothing to do now: the mount resumes by itself while the master answers; then check "
              "the disk");
    if (!began || e->code == EUCLEAN) {
        if (!renewal_is_due(p->m, NULL)) /* the new one is damaged, once too often */
            return give_up(p, e);
        *e = (struct err){0};
        r = replica_renew(replica, e);
        if (r < 0)
            p->local = true;
        else
            atomic_fetch_add(&p->m->renewals, 1);
        if (r == 0)
            r = say_hello(p, e);
    }
    if (r < 0)
        return r;
    link_ok(&p->m->link);
    replica_feed_drop(replica);
    r = follow(p, "", true, 0, e);
    if (r == 0 && (r = renewal_complete(p->m, e)) < 0)
        p->local = true;
    if (r < 0)
        return r;
    replica_renewed(replica);
    fault_set(&p->m->faults, FAULT_DATABASE, "", "");
    changes_all(p->m->changes);
    wake_now(&p->m->outbox_wake);
    log_info("the database of the cache was rebuilt from the master");
    return 0;
}

/* hello, and repairs that come before anything else. */
static int contact(struct pull *p, struct err *e)
{
    bool damaged = renewal_is_due(p->m, NULL) || replica_is_renewing(p->m->replica);
    int r = say_hello(p, e);

    if ((r == 0 && damaged) || (r == -EUCLEAN && p->local && damaged)) {
        p->local = false;
        r = renew(p, e);
    }
    return r;
}

/* From hello until something fails. */
static int session(struct pull *p, struct err *e)
{
    int r = contact(p, e);
    bool full;

    if (r < 0)
        return r;
    full = !replica_is_complete(p->m->replica) || (!p->looked && any_skipped(p));
    link_ok(&p->m->link);
    wake_kick(&p->m->outbox_wake);
    prefetch_walk(p->m->prefetch);
    replica_feed_drop(p->m->replica);
    atomic_store(&p->in_step, false);
    while (!mirror_stopping(p->m)) {
        char *cursor = full ? xstrdup("") : where(p);
        int wait_s = atomic_load(&p->in_step) ? WIRE_WAIT_MAX : 0;

        full = full || !*cursor;
        r = follow(p, cursor, full, wait_s, e);
        free(cursor);
        p->looked = p->looked || (full && r == 0);
        if (r == -ESTALE && !full) {
            log_info("the master asks for a new listing");
            atomic_store(&p->in_step, false);
            full = true;
            r = say_hello(p, e);
        } else if (r == 0) {
            full = false;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

/* A full disk: clean contents are evicted, and as the master is there, sent changes free more. */
static void mend_here(struct pull *p, const struct err *e)
{
    fault_set(&p->m->faults, FAULT_DISK, e->text,
              e->code == ENOSPC || e->code == EDQUOT
                  ? "free space on the filesystem of the cache folder"
                  : "check the disk of the cache folder; the mount retries by itself");
    if (e->code == ENOSPC) {
        store_make_room(p->m->store, ROOM);
        reserve_release(p->m->cfg.cache);
    }
}

static void *pull_main(void *arg)
{
    struct pull *p = arg;
    int64_t backoff = BACKOFF_MIN;

    while (!mirror_stopping(p->m)) {
        struct err e = {0};
        int64_t began = clock_mono_ms();
        int r;

        p->local = false;
        r = session(p, &e);
        atomic_store(&p->in_step, false);
        if (mirror_stopping(p->m))
            break;
        if (r < 0 && p->local)
            mend_here(p, &e);
        else if (r < 0 && r != -ECANCELED && r != -EACCES) /* that was said */
            link_fail(&p->m->link, &e);
        wake_kick(&p->m->answers_wake);
        if (clock_mono_ms() - began > 4 * backoff) /* it had worked for a while */
            backoff = BACKOFF_MIN;
        rest(p, r == -EACCES || r == -EXDEV ? BACKOFF_DENY : backoff);
        backoff = backoff * 2 < BACKOFF_MAX ? backoff * 2 : BACKOFF_MAX;
    }
    return NULL;
}

int pull_start(struct pull *p)
{
    int r;

    p->running = true;
    r = worker_start(&p->worker, "pull", pull_main, p);
    if (r < 0)
        p->running = false;
    return r;
}

void pull_stop(struct pull *p)
{
    worker_stop(&p->worker);
}
