/* SPDX-License-Identifier: MIT */
/*
 * Stopping goes from the outside in: the watcher and the scan workers end, parked polls are
 * answered, the committer finishes what is queued (and so answers every operation), then the HTTP
 * server closes. Until then it accepts requests; those that come while stopping are answered 503.
 */
#include "sync/master/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/recheck.h"
#include "sync/common/rundir.h"
#include "sync/common/syncer.h"
#include "sync/common/systemd.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/epoch.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/publish/delete_guard.h"
#include "sync/master/publish/put_back.h"
#include "sync/master/db/schema.h"
#include "sync/master/folder/carry.h"
#include "sync/master/db/checkpoint.h"
#include "sync/master/commit/committer.h"
#include "sync/master/commit/disk_check.h"
#include "sync/master/commit/fit.h"
#include "sync/master/folder/conflict.h"
#include "sync/master/versions/keeper.h"
#include "sync/master/versions/settle.h"
#include "sync/master/folder/displaced.h"
#include "sync/master/http/feed.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/ops/intent_log.h"
#include "sync/master/http/intruder.h"
#include "sync/master/folder/root_monitor.h"
#include "sync/master/db/registry.h"
#include "sync/master/db/reports.h"
#include "sync/master/db/wanted.h"
#include "sync/master/folder/departures.h"
#include "sync/master/folder/notices.h"
#include "sync/master/folder/owner.h"
#include "sync/master/db/readers.h"
#include "sync/master/folder/private_dir.h"
#include "sync/master/db/rebuild.h"
#include "sync/master/db/registry_copy.h"
#include "sync/master/http/server.h"
#include "sync/master/control/status.h"
#include "sync/master/folder/upload.h"
#include "sync/master/folder/volume.h"
#include "sync/master/scan/watch.h"
#include "sync/master/scan/workers.h"
#include "sync/master/db/head.h"

#define LOOK_MS      250
#define CHECK_MS     10000 /* for a look at the whole database at the start */
#define UNWATCHED_MS 10000 /* between scans when not all folders are watched, at least */

struct service {
    struct master m;
    struct folder folder;
    struct tree tree;
    int lock_fd;
    struct stat db_file;       /* as it was opened */
    struct excludes *excludes; /* newest first; the old ones may still be read */
    struct server *http;
    struct status *status;
    struct recheck *recheck;
    struct settle *settling;
    sigset_t signals;    /* that loop() waits for */
    atomic_bool stopped; /* no thread is left */
};

/* The settings that change while serving. */
static int configure(struct service *s, const struct serve_options *o, struct err *e)
{
    struct master *m = &s->m;
    struct excludes *x;
    int64_t uid, gid;
    int r = owner_find(o->owner, &uid, &gid, e);

    if (r == 0)
        r = owner_check(o->owner, uid, gid, o->state, e);
    if (r < 0)
        return r;
    m->folder->owner_uid = uid;
    m->folder->owner_gid = gid;
    m->max_delete = o->max_delete;
    m->folder->reserve = o->reserve;
    m->folder->upload_space = o->upload_space;
    m->open_ms = o->open_ms;
    m->folder->quiet_ms = o->quiet_ms;
    x = xcalloc(1, sizeof(*x));
    for (size_t i = 0; i < o->exclude.n; i++)
        strlist_add(&x->list, o->exclude.v[i]);
    x->older = s->excludes;
    s->excludes = x;
    m->folder->exclude = x;
    return 0;
}

static int lock_state(struct service *s, const char *state, struct err *e)
{
    char *path;
    int r = file_mkdirs(state, 0700);

    if (r < 0)
        return err_sys(e, -r, "cannot create the state folder '%s'", state);
    path = xasprintf("%s/lock", state);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    if (s->lock_fd < 0)
        return err_sys(e, errno, "cannot lock the state folder '%s'", state);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(e, EBUSY,
                       "another 'eefs-master serve' uses the state folder '%s'; one folder has one "
                       "master",
                       state);
    return 0;
}

/* Opens the database, or the rebuilt one when it is damaged. */
static int open_database(struct service *s, struct err *e)
{
    const char *path = s->m.db_path;
    int r = db_check(path, CHECK_MS, NULL, e), n;

    if (r == 0)
        r = schema_open(path, 0, &s->tree.db, e);
    if (r == 0 && (r = db_check_rows(s->tree.db, CHECK_MS, e)) < 0) {
        db_close(s->tree.db);
        s->tree.db = NULL;
    }
    if (r == -EUCLEAN) {
        log_error("%s", e->text);
        r = rebuild_database(path, e);
        if (r == 0)
            r = schema_open(path, 0, &s->tree.db, e);
    }
    if (r < 0)
        return r;
    n = registry_copy_restore(s->tree.db, false);
    if (n > 0)
        log_warn(
            "the database '%s' held no mirrors; restored %d of them from 'mirrors.json' beside it",
            path, n);
    n = n == -EUCLEAN ? n : registry_copy_save(s->tree.db);
    if (n < 0)
        log_error("cannot write the copy of the mirrors beside '%s': %s", path, strerror(-n));
    return 0;
}

static int open_tree(struct service *s, const struct serve_options *o, struct err *e)
{
    struct master *m = &s->m;
    bool known = false;
    int64_t epoch = 0;
    char *store;
    int r;

    if (o->conflicts) {
        r = conflict_folder(o->conflicts, o->root, e);
        if (r < 0)
            return r;
        m->folder->conflicts = xstrdup(o->conflicts);
    }
    m->db_path = xasprintf("%s/master.db", o->state);
    m->folder->db_path = m->db_path;
    m->tree = &s->tree;
    r = open_database(s, e);
    if (r == 0 && stat(m->db_path, &s->db_file) < 0)
        r = err_sys(e, errno, "cannot stat '%s'", m->db_path);
    if (r < 0)
        return r;
    root_owner(o->root, m->id); /* a lost database: the folder knows whose it is */
    r = tree_start(&s->tree, m->timeline, m->id, &known, e);
    if (r == 0 && epoch_get(s->tree.db, &epoch) < 0)
        r = db_error(s->tree.db, e, "cannot read the epoch of the folder");
    if (r < 0)
        return r;
    if (!known)
        log_info("'%s' has no tree yet: every file is hashed first", m->db_path);
    m->head = head_new(s->tree.seq);
    r = registry_exclude(s->tree.db, &s->excludes->list, e);
    if (r < 0)
        return r;
    r = o->store ? private_dir_check(o->store, o->root, m->id, e) : 0;
    store = r == 0 && o->store ? realpath(o->store, NULL) : NULL;
    if (r == 0 && o->store && !store)
        r = err_sys(e, errno, "cannot find the folder of --store '%s'", o->store);
    if (r == 0)
        r = root_open(o->root, store, m->id, known, epoch, &m->folder->root, e);
    free(store);
    return r;
}

/* Judges the state in which the folder is, and begins the next epoch. */
static int open_epoch(struct master *m, struct err *e)
{
    struct err why;
    char text[512];
    int r = put_back_begin(m, e);

    if (r < 0 || (r == 0 && !root_ok(m->folder->root, text, sizeof(text))))
        return r;
    if (epoch_advance(m->folder, m->tree->db, &why) < 0) {
        if (r == 1) { /* it would be found put back for ever */
            *e = why;
            return -why.code;
        }
        log_warn("%s", why.text);
    }
    root_check(m->folder->root);
    return 0;
}

/* What an earlier run was about to do when it was killed. */
static int judge_intents(struct master *m, struct err *e)
{
    int r = tree_begin(m->tree);

    if (r == 0)
        r = intent_log_judge(m);
    if (r == 0)
        r = tree_commit(m->tree);
    if (r < 0) {
        db_error(m->tree->db, e, "cannot judge the unfinished operations of an earlier run");
        tree_rollback(m->tree);
    }
    return r;
}

static int start(struct service *s, const struct serve_options *o, struct err *e)
{
    struct master *m = &s->m;
    int r = lock_state(s, o->state, e);

    m->listen = xstrdup(o->listen);
    m->delete_guard = delete_guard_new(m);
    m->notices = notices_new();
    m->departures = departures_new();
    m->reports = reports_new();
    m->wanted = wanted_new();
    m->intruder = intruder_new();
    if (r == 0)
        r = configure(s, o, e);
    if (r == 0)
        r = open_tree(s, o, e);
    if (r == 0)
        r = open_epoch(m, e);
    if (r < 0)
        return r;
    /* Until here a folder or a disk that hangs can be left by a signal. */
    sigaddset(&s->signals, SIGTERM);
    sigaddset(&s->signals, SIGINT);
    sigprocmask(SIG_BLOCK, &s->signals, NULL);
    m->folder->volumes = volumes_new(m->folder);
    volumes_look(m->folder->volumes);
    r = judge_intents(m, e);
    if (r < 0)
        return r;
    m->readers = readers_new(m->db_path);
    m->folder->uploads = uploads_new(m->folder);
    m->folder->displaced = displaced_new();
    m->folder->kept = kept_new(m->folder, &o->keep);
    uploads_clean(m->folder->uploads, true);
    r = checkpoint_start(m->db_path, m->tree->db, &m->checkpoint, e);
    if (r == 0)
        r = feed_start(m, &m->feed, e);
    if (r == 0)
        r = keeper_start(m, &m->keeper, e);
    if (r == 0)
        r = carrier_start(m->folder, "carrier", &m->carrier, e);
    if (r == 0)
        r = carrier_start(m->folder, "copier", &m->copier, e);
    if (r == 0 && (r = syncer_start(&m->syncer)) < 0)
        err_sys(e, -r, "cannot start a thread");
    if (r == 0)
        r = committer_start(m, &m->committer, e);
    if (r == 0)
        r = settle_start(m, &s->settling, e);
    if (r == 0)
        r = root_monitor_start(m->folder, &m->root_monitor, e);
    if (r == 0)
        r = watch_start(m, &m->watch, e);
    if (r == 0)
        r = workers_start(m, e);
    if (r == 0)
        r = server_start(m, o->insecure_http, &s->http, e);
    if (r == 0)
        r = status_start(m, rundir_path(o->rundir), &s->status, e);
    if (r == 0 && (r = recheck_start(disk_check, m, &s->recheck)) < 0)
        err_sys(e, -r, "cannot start a thread");
    return r;
}

/* Ends all threads. */
static void *stop_threads(void *arg)
{
    struct service *s = arg;
    struct master *m = &s->m;

    m->stopping = true;
    status_stop(s->status);
    recheck_stop(s->recheck);
    scan_queue_stop(m->folder->scan_queue);
    watch_stop(m->watch);
    feed_stop(m->feed);
    settle_stop(s->settling);
    keeper_stop(m->keeper);
    carrier_stop(m->carrier);
    carrier_stop(m->copier);
    committer_stop(m->committer);
    server_stop(s->http);
    root_monitor_stop(m->root_monitor);
    s->stopped = true;
    return NULL;
}

/* Threads that a hanging filesystem holds end with the process: nothing is lost by that, because
 * every answered operation is durable. */
static void stop(struct service *s)
{
    const struct timespec pause = {0, 20 * 1000000};
    struct master *m = &s->m;
    pthread_t thread;

    if (thread_start(&thread, "stop", stop_threads, s) < 0)
        stop_threads(s);
    else {
        while (!s->stopped) {
            nanosleep(&pause, NULL);
            if (m->root_monitor && root_silent_ms(m->folder->root) > ROOT_SILENT_MS) {
                log_error("the folder '%s' does not answer; stopping without waiting for it",
                          root_path(m->folder->root));
                _exit(1);
            }
        }
        thread_join(thread);
    }
    scan_queue_free(m->folder->scan_queue);
    settle_free(s->settling);
    displaced_free(m->folder->displaced);
    committer_free(m->committer);
    syncer_free(m->syncer);
    carrier_free(m->carrier);
    carrier_free(m->copier);
    keeper_free(m->keeper);
    kept_free(m->folder->kept);
    feed_free(m->feed);
    uploads_free(m->folder->uploads);
    volumes_free(m->folder->volumes);
    intruder_free(m->intruder);
    root_close(m->folder->root);
    reports_free(m->reports);
    wanted_free(m->wanted);
    notices_free(m->notices);
    departures_free(m->departures);
    readers_free(m->readers);
    checkpoint_stop(m->checkpoint);
    db_close(s->tree.db);
    head_free(m->head);
    delete_guard_free(m->delete_guard);
    for (struct excludes *older; s->excludes; s->excludes = older) {
        older = s->excludes->older;
        strlist_release(&s->excludes->list);
        free(s->excludes);
    }
    free(m->folder->conflicts);
    free(m->db_path);
    free(m->listen);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}

/* ± 20 %, so that many masters on one disk do not scan at once. */
static int64_t jittered(int64_t ms)
{
    uint16_t n;

    file_random(&n, sizeof(n));
    return ms * 8 / 10 + ms * 4 / 10 * n / 65536;
}

static void push_again(void *arg, const char *path)
{
    scan_queue_push(arg, path, SCAN_FOUND, 0);
}

static void begin_scan(struct master *m)
{
    workers_scan(m);
    notices_each(m->notices, push_again, m->folder->scan_queue);
}

/* When the next scan begins. Where folders are not watched it is all that finds changes: then it
 * follows at ten times its own length. */
static int64_t next_scan(struct service *s, const struct serve_options *o)
{
    int64_t ms = o->rescan_ms, soon = 10 * scan_queue_scan_ms(s->folder.scan_queue);

    if (soon < UNWATCHED_MS)
        soon = UNWATCHED_MS;
    if (watch_limited(s->m.watch, NULL, 0, NULL, 0) && (ms == 0 || soon < ms))
        ms = soon;
    return ms ? clock_mono_ms() + jittered(ms) : INT64_MAX;
}

static bool differs(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") != 0;
}

/* Over a connection of its own: s->tree is the committer's. */
static int tell_exclude(struct service *s, struct err *e)
{
    struct db *db = NULL;
    int r = schema_open(s->m.db_path, 0, &db, e);

    if (r == 0)
        r = registry_exclude(db, &s->excludes->list, e);
    db_close(db);
    return r;
}

static void reload(struct service *s, struct serve_options *o, int argc, char **argv)
{
    struct serve_options now = {0};
    struct timespec ts;
    enum opt_help help = OPT_HELP_NONE;
    struct err e;
    int r;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    systemd_notify("RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
    r = options_parse(argc, argv, &now, &help, &e);
    if (r == 0)
        r = configure(s, &now, &e);
    if (r == 0)
        r = tell_exclude(s, &e);
    if (r < 0) {
        log_error("cannot reload options: %s; keeping the previous settings", e.text);
        options_release(&now);
    } else {
        if (differs(o->root, now.root) || differs(o->state, now.state) ||
            differs(o->listen, now.listen) || differs(o->rundir, now.rundir) ||
            differs(o->conflicts, now.conflicts) || differs(o->store, now.store) ||
            o->insecure_http != now.insecure_http)
            log_warn("root, state, listen, rundir, conflicts, store and insecure-http take effect "
                     "only after a restart");
        strlist_release(&now.keep.except); /* kept.h holds the rules it began with */
        now.keep = o->keep;
        memset(&o->keep, 0, sizeof(o->keep));
        options_release(o);
        *o = now;
        log_info("options reloaded; scanning '%s'", root_path(s->folder.root));
    }
    systemd_notify("READY=1");
}

/* Another file has replaced the database: all further writes would be lost. A failing disk does not
 * count as that. */
static bool database_was_replaced(struct service *s)
{
    struct stat st;

    if (stat(s->m.db_path, &st) < 0)
        return trouble_at(-errno, AT_FDCWD, s->m.db_path) == -ENOENT;
    return st.st_ino != s->db_file.st_ino || st.st_dev != s->db_file.st_dev;
}

static void tell_systemd(struct service *s, int64_t watchdog_ms, int64_t *next)
{
    char why[512];

    if (clock_mono_ms() < *next)
        return;
    *next = clock_mono_ms() + (watchdog_ms && watchdog_ms < 4000 ? watchdog_ms / 4 : 1000);
    systemd_notify("STATUS=%s", fit_why_not(&s->m, why, sizeof(why)) ? why : "serving");
    if (watchdog_ms && committer_alive(s->m.committer, watchdog_ms))
        systemd_notify("WATCHDOG=1");
}

static int loop(struct service *s, struct serve_options *o, int argc, char **argv, struct err *e)
{
    const struct timespec look = {LOOK_MS / 1000, LOOK_MS % 1000 * 1000000};
    int64_t watchdog_ms = systemd_watchdog_ms(), tell = 0, next = 0;
    struct master *m = &s->m;
    bool was = true, limited = false;
    int generation = root_generation(m->folder->root);
    char why[512];

    systemd_notify("READY=1");
    for (int sig = 0;; sig = sigtimedwait(&s->signals, NULL, &look)) {
        bool ok = root_ok(m->folder->root, why, sizeof(why)),
             now_limited = watch_limited(m->watch, NULL, 0, NULL, 0) > 0;

        if (sig == SIGTERM || sig == SIGINT)
            return 0;
        if (database_was_replaced(s))
            return err_set(e, ESTALE,
                           "the database '%s' was replaced or removed while it was in use; restart "
                           "eefs-master",
                           m->db_path);
        if (fit_database_damaged())
            return err_set(e, EUCLEAN,
                           "the database '%s' is damaged; restart eefs-master: it sets the "
                           "database aside and rebuilds it from the folder",
                           m->db_path);
        if (root_was_put_back(m->folder->root)) {
            log_warn("%s; starting anew", why);
            return SERVE_AGAIN;
        }
        if (!ok && was)
            log_error("%s; nothing is served or published until it is back", why);
        if (ok && !was)
            log_info("the folder '%s' is back", root_path(m->folder->root));
        if (sig == SIGHUP)
            reload(s, o, argc, argv);
        if (generation != root_generation(m->folder->root)) {
            generation = root_generation(m->folder->root);
            watch_reset(m->watch);
            next = 0;
        }
        if (now_limited != limited && next > 0)
            next = next_scan(s, o);
        limited = now_limited;
        if (ok && (!was || sig == SIGHUP || clock_mono_ms() >= next) &&
            !scan_queue_scanning(m->folder->scan_queue)) {
            begin_scan(m);
            next = next_scan(s, o);
        }
        was = ok;
        tell_systemd(s, watchdog_ms, &tell);
    }
}

int serve(struct serve_options *o, int argc, char **argv, struct err *e)
{
    struct service *s = xcalloc(1, sizeof(*s));
    int r;

    s->m.folder = &s->folder;
    s->lock_fd = -1;
    sigemptyset(&s->signals);
    sigaddset(&s->signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &s->signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN); /* a lease that is broken while we probe */
    thread_load_unwinder();
    r = start(s, o, e);
    if (r == 0) {
        log_info("serving %s on http://%s/ as master %s", o->root, o->listen, s->m.id);
        r = loop(s, o, argc, argv, e);
        if (r != SERVE_AGAIN)
            systemd_notify("STOPPING=1");
        log_info("stopping");
    }
    stop(s);
    if (r == SERVE_AGAIN)
        sigprocmask(SIG_UNBLOCK, &s->signals, NULL);
    free(s);
    options_release(o);
    return r;
}
