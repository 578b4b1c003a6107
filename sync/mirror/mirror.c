/* SPDX-License-Identifier: MIT */
/*
 * mirror: opens, starts and stops the parts (transfer/context.h lists them). Each part finds the
 * others through struct mirror, so all are made before the first thread starts, and freed after the
 * last one has ended.
 *
 *   mirror_open   lock the cache, replica, store, http, parts, first listing (cold cache)
 *   mirror_start  control, hooks, changes, fetch, upload, wait, push, pull, giveback, prefetch, status, recheck
 *   mirror_stop   the outbox is flushed, m->stop is set, http and link wake who waits, all join
 */
#include "sync/mirror/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/recheck.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"
#include "sync/mirror/control/control.h"
#include "sync/mirror/control/fitness.h"
#include "sync/mirror/control/health.h"
#include "sync/mirror/control/status.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/leftovers.h"
#include "sync/mirror/store/reserve.h"
#include "sync/mirror/store/store_admin.h"
#include "sync/mirror/transfer/changes.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/disk_check.h"
#include "sync/mirror/transfer/fetch.h"
#include "sync/mirror/transfer/giveback.h"
#include "sync/mirror/transfer/hooks.h"
#include "sync/mirror/transfer/prefetch.h"
#include "sync/mirror/transfer/pull.h"
#include "sync/mirror/transfer/push.h"
#include "sync/mirror/transfer/renewal.h"
#include "sync/mirror/transfer/upload.h"
#include "sync/mirror/transfer/wait.h"
#include "sync/proto/http_client.h"

#define FIRST_MS      30000
#define RETRY_MIN_MS  250 /* between tries of an empty cache, doubled up to … */
#define RETRY_MAX_MS  5000
#define PENDING_SHOWN 5

static void copy_config(struct mirror *m, const struct mirror_config *cfg)
{
    size_t i;

    m->cfg = *cfg;
    m->cfg.url = xstrdup(cfg->url);
    m->cfg.token = NULL; /* http_client keeps it */
    m->cfg.cache = xstrdup(cfg->cache);
    m->cfg.instance = xstrdup(cfg->instance);
    m->cfg.mountpoint = xstrdup(cfg->mountpoint);
    m->cfg.rundir = xstrdup(cfg->rundir);
    m->cfg.check_url = cfg->check_url ? xstrdup(cfg->check_url) : NULL;
    m->cfg.check_text = cfg->check_text ? xstrdup(cfg->check_text) : NULL;
    m->cfg.monitor = cfg->monitor ? xstrdup(cfg->monitor) : NULL;
    m->cfg.prefetch = (struct strlist){NULL, 0};
    for (i = 0; i < cfg->prefetch.n; i++)
        strlist_add(&m->cfg.prefetch, cfg->prefetch.v[i]);
}

static void free_text(const char *s)
{
    char *p;

    memcpy(&p, &s, sizeof(p));
    free(p);
}

static int lock_cache(struct mirror *m, struct err *e)
{
    const char *cache = m->cfg.cache;
    char *path;
    int r = file_mkdirs(cache, 0700);

    if (r < 0)
        return err_sys(e, -r, "cannot create the cache folder '%s'", cache);
    if (chmod(cache, 0700) < 0)
        return err_sys(e, errno, "cannot make the cache folder '%s' private", cache);
    path = xasprintf("%s/lock", cache);
    m->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    r = m->lock_fd < 0 ? err_sys(e, errno, "cannot open '%s'", path) : 0;
    free(path);
    if (r == 0 && flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0)
        r = errno == EWOULDBLOCK ? err_set(e, EBUSY,
                                           "the cache '%s' is in use by another mount; unmount it "
                                           "or choose another 'cache' folder",
                                           cache)
                                 : err_sys(e, errno, "cannot lock the cache '%s'", cache);
    return r;
}

static bool is_pinned(void *arg, const struct hash *h)
{
    struct mirror *m = arg;

    return replica_pins(m->replica, h);
}

/* What is under way on a broken link is given up at once. */
static void on_broken(void *arg)
{
    struct mirror *m = arg;

    if (m->http)
        http_wake(m->http);
}

/* What may be otherwise in a while: the master is not there yet, or is in its first scan. */
static bool may_pass(struct mirror *m, int r)
{
    switch (-r) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ETIMEDOUT:
    case ECONNRESET:
    case EAGAIN:
        return true;
    case EREMOTEIO: /* of a page: 5xx has brought the link down, a refusal has not */
        return !link_is_up(&m->link) && !m->link.denied;
    default:
        return false;
    }
}

/* False: nobody waits any more. */
static bool rest(struct mirror *m, int64_t ms)
{
    for (int64_t until = clock_mono_ms() + ms; clock_mono_ms() < until;) {
        if (m->cfg.give_up && m->cfg.give_up(m->cfg.wait_arg))
            return false;
        usleep(50000);
    }
    return true;
}

static int first_contact(struct mirror *m, struct err *e)
{
    int64_t until = clock_mono_ms() + m->cfg.retry_ms, pause = RETRY_MIN_MS;
    int r;

    while ((r = pull_first(m->pull, FIRST_MS, e)) < 0 && may_pass(m, r) &&
           clock_mono_ms() < until) {
        if (m->cfg.waiting)
            m->cfg.waiting(m->cfg.wait_arg, e->text, until - clock_mono_ms());
        if (!rest(m, pause))
            break;
        pause = pause * 2 < RETRY_MAX_MS ? pause * 2 : RETRY_MAX_MS;
    }
    if (r < 0 && r != -EACCES && r != -EXDEV)
        err_prefix(e, "the cache '%s' is empty and the first listing failed", m->cfg.cache);
    return r;
}

static int open_replica(struct mirror *m, struct err *e)
{
    int r = replica_open(m->cfg.cache, m->cfg.read_only, &m->replica, e);

    if (r == -EUCLEAN) {
        log_error("%s", e->text);
        r = replica_move_aside(m->cfg.cache, e);
        if (r == 0)
            r = replica_open(m->cfg.cache, m->cfg.read_only, &m->replica, e);
        if (r == 0)
            trouble_settle(EUCLEAN);
    }

    if (r == -ENOSPC && reserve_release(m->cfg.cache)) {
        *e = (struct err){0};
        r = replica_open(m->cfg.cache, m->cfg.read_only, &m->replica, e);
    }
    return r;
}

int mirror_open(const struct mirror_config *cfg, struct mirror **ret, struct err *e)
{
    struct mirror *m = xcalloc(1, sizeof(*m));
    bool first = false;
    int r;

    m->lock_fd = -1;
    mutex_init(&m->lock);
    faults_init(&m->faults);
    link_init(&m->link);
    wake_init(&m->outbox_wake);
    wake_init(&m->answers_wake);
    m->fitness = fitness_new();
    m->link.broken = on_broken;
    m->link.arg = m;
    copy_config(m, cfg);
    r = lock_cache(m, e);
    if (r == 0)
        r = open_replica(m, e);
    if (r == 0)
        r = store_new(m->cfg.cache, cfg->cache_size, is_pinned, m, &m->store, e);
    if (r == 0)
        m->leftovers = store_adopt_leftovers(m->store);
    if (r == 0)
        replica_set_contents(m->replica, renewal_has_content, m);
    if (r == 0)
        r = http_new(&(struct http_config){cfg->url, cfg->token, cfg->cafile, cfg->insecure_http},
                     &m->http, e);
    if (r == 0) {
        m->pull = pull_new(m);
        m->push = push_new(m);
        m->upload = upload_new(m);
        m->wait = wait_new(m);
        m->fetch = fetch_new(m);
        m->changes = changes_new(m);
        m->hooks = hooks_new(m);
        m->giveback = giveback_new(m);
        m->prefetch = prefetch_new(m);
        m->status = status_new(m);
        first = !replica_is_complete(m->replica);
        r = first ? first_contact(m, e) : pull_check_address(m->pull, e);
    }
    if (r == 0)
        r = first ? renewal_complete(m, e) : renewal_put_back(m, e);
    if (r == 0)
        renewal_offer(m);
    if (r < 0)
        mirror_close(m);
    else
        *ret = m;
    return r;
}

int mirror_start(struct mirror *m, mirror_change_fn *changed, void *arg, struct err *e)
{
    int r = control_start(m, e);

    if (r < 0)
        return r;
    r = hooks_start(m->hooks);
    r = r < 0 ? r : changes_start(m->changes, changed, arg);
    r = r < 0 ? r : fetch_start(m->fetch);
    r = r < 0 ? r : upload_start(m->upload);
    r = r < 0 ? r : wait_start(m->wait);
    r = r < 0 ? r : push_start(m->push);
    r = r < 0 ? r : pull_start(m->pull);
    r = r < 0 ? r : giveback_start(m->giveback);
    r = r < 0 ? r : prefetch_start(m->prefetch);
    r = r < 0 ? r : status_start(m->status);
    r = r < 0 ? r : recheck_start(disk_check, m, &m->recheck);
    if (r < 0)
        err_sys(e, -r, "cannot start a thread");
    else
        r = health_start(m, &m->health, e);
    if (r < 0)
        mirror_stop(m, 0);
    return r;
}

/* Logs the changes that are still pending when the mount ends. */
static void warn_pending(struct mirror *m, int64_t pending)
{
    struct strlist paths = {NULL, 0};
    struct buf b = BUF_INIT;

    replica_outbox_first(m->replica, PENDING_SHOWN, &paths);
    for (size_t i = 0; i < paths.n; i++) {
        char *text = path_encoded(paths.v[i]);
        buf_printf(&b, "%s'%s'", i ? ", " : "", text);
        free(text);
    }
    log_warn("%lld changes are not on the master yet (%s%s); they are kept in '%s' and sent after "
             "the next mount",
             (long long)pending, b.len ? b.data : "",
             pending > (int64_t)paths.n ? ", and others" : "", m->cfg.cache);
    buf_release(&b);
    strlist_release(&paths);
}

static void flush(struct mirror *m, int64_t flush_ms)
{
    int64_t until = clock_mono_ms() + flush_ms;
    struct outbox_count n;
    int r;

    wake_kick(&m->outbox_wake);
    for (;;) {
        r = replica_outbox_count(m->replica, "", &n);
        if (r < 0 || n.pending == 0 || n.held || !link_is_up(&m->link) || clock_mono_ms() >= until)
            break;
        usleep(10000);
    }
    if (r < 0)
        log_warn("cannot read from the database in '%s' which changes are not on the master yet: "
                 "%s; they are sent after the next mount",
                 m->cfg.cache, strerror(-r));
    else if (n.pending > 0)
        warn_pending(m, n.pending);
}

void mirror_stop(struct mirror *m, int64_t flush_ms)
{
    flush(m, flush_ms);
    atomic_store(&m->stop, true);
    http_stop(m->http);
    link_wake(&m->link);
    changes_stop(m->changes); /* first: a watch stream must end before its connection is joined */
    hooks_stop(m->hooks);
    control_stop(m);
    health_stop(m->health);
    m->health = NULL;
    pull_stop(m->pull);
    push_stop(m->push);
    giveback_stop(m->giveback);
    upload_stop(m->upload);
    prefetch_stop(m->prefetch);
    fetch_stop(m->fetch);
    wait_stop(m->wait);
    status_stop(m->status);
    recheck_stop(m->recheck);
    m->recheck = NULL;
    store_sync(m->store);
    replica_sync(m->replica);
}

void mirror_close(struct mirror *m)
{
    if (!m)
        return;
    status_free(m->status);
    prefetch_free(m->prefetch);
    giveback_free(m->giveback);
    changes_free(m->changes);
    hooks_free(m->hooks);
    fetch_free(m->fetch);
    wait_free(m->wait);
    upload_free(m->upload);
    push_free(m->push);
    pull_free(m->pull);
    http_free(m->http);
    if (m->store)
        store_free(m->store);
    if (m->replica)
        replica_close(m->replica);
    if (m->lock_fd >= 0)
        close(m->lock_fd);
    wake_release(&m->answers_wake);
    wake_release(&m->outbox_wake);
    link_release(&m->link);
    faults_release(&m->faults);
    mutex_destroy(&m->lock);
    free_text(m->cfg.url);
    free_text(m->cfg.cache);
    free_text(m->cfg.instance);
    free_text(m->cfg.mountpoint);
    free_text(m->cfg.rundir);
    free_text(m->cfg.check_url);
    free_text(m->cfg.check_text);
    free_text(m->cfg.monitor);
    fitness_free(m->fitness);
    strlist_release(&m->cfg.prefetch);
    free(m);
}

struct replica *mirror_replica(struct mirror *m)
{
    return m->replica;
}

struct store *mirror_store(struct mirror *m)
{
    return m->store;
}

void mirror_fetch(struct mirror *m, const struct hash *h, int64_t size, mirror_done_fn *done,
                  void *arg)
{
    fetch_want(m->fetch, h, size, done, arg);
}

uint64_t mirror_wait(struct mirror *m, int64_t opid, mirror_done_fn *done, void *arg)
{
    wake_kick(&m->outbox_wake);
    return wait_add(m->wait, opid, done, arg);
}

void mirror_wait_cut(struct mirror *m, uint64_t ticket)
{
    wait_cut(m->wait, ticket);
}

void mirror_kick(struct mirror *m)
{
    wake_kick(&m->outbox_wake);
}

void mirror_unpublished(struct mirror *m, size_t n, const char *path, int error)
{
    char text[FAULT_TEXT_CAP] = "", more[40] = "", *shown = path_encoded(path);

    if (n > 1)
        snprintf(more, sizeof(more), " (and of %zu others)", n - 1);
    if (n > 0)
        snprintf(text, sizeof(text),
                 "what was written to '%.200s'%s cannot be logged in '%.150s': %s", shown, more,
                 m->cfg.cache, strerror(-error));
    fault_set(
        &m->faults, FAULT_UNPUBLISHED, text,
        error == -ENOSPC ? "free space on the disk of the cache folder: it is tried again by "
                           "itself, nothing is lost"
        : error == -EROFS
            ? "it may not be written any more: see the mirror's scopes on the master, or copy "
              "the file out of the mount and remove it"
            : "see to the disk of the cache folder: it is tried again by itself, nothing is "
              "lost");
    free(shown);
}

bool mirror_in_contact(struct mirror *m)
{
    return link_is_up(&m->link);
}

void mirror_on_remount(struct mirror *m, mirror_remount_fn *fn, void *arg)
{
    m->remount = fn;
    m->remount_arg = arg;
}

void mirror_set_read_only(struct mirror *m, bool read_only)
{
    replica_set_read_only(m->replica, read_only);
    changes_all(m->changes);
}
