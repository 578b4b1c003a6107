/* SPDX-License-Identifier: MIT */
/*
 * Stopping goes from the outside in: the watcher and the index workers end, parked polls are
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

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/rundir.h"
#include "sync/master/committer.h"
#include "sync/master/conflict.h"
#include "sync/master/settle.h"
#include "sync/master/feed.h"
#include "sync/master/index.h"
#include "sync/master/mirrors.h"
#include "sync/master/owner.h"
#include "sync/master/pool.h"
#include "sync/master/routes.h"
#include "sync/master/status.h"
#include "sync/master/upload.h"
#include "sync/master/watch.h"

#define LOOK_MS 500 /* at the root */

struct server {
    struct master m;
    struct tree tree;
    int lock_fd;
    struct routes *routes;
    struct status *status;
};

bool master_hides(const struct master *m, const char *path)
{
    if (path_is_under(path, ROOT_HIDDEN))
        return true;
    for (size_t i = 0; i < m->exclude.n; i++)
        if (path_matches(m->exclude.v[i], path))
            return true;
    return false;
}

int master_lstat(const struct master *m, const char *path, struct stat *ret)
{
    struct stat st;
    int r = 0, fd;

    if (*path && master_hides(m, path))
        return -ENOENT;
    fd = path_open_beneath(root_fd(m->root), path, O_PATH | O_NOFOLLOW, 0);
    if (fd == -ELOOP || fd == -ENOTDIR)
        return -ENOENT;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        r = -errno;
    close(fd);
    if (r == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
        r = -ENOENT;
    if (r == 0)
        *ret = st;
    return r;
}

const char *master_unfit(struct master *m, char *out, size_t cap)
{
    if (!root_ok(m->root, out, cap))
        return out;
    if (m->stopping)
        snprintf(out, cap, "the master is stopping");
    else if (!m->scanned)
        snprintf(out, cap, "the master is scanning its folder for the first time since its start");
    else
        return NULL;
    return out;
}

static int lock_state(struct server *s, const char *state, struct err *e)
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

static int start(struct server *s, const struct serve_options *o, struct err *e)
{
    struct master *m = &s->m;
    bool known = false;
    int r = owner_find(o->owner, &m->owner_uid, &m->owner_gid, e);

    for (size_t i = 0; i < o->exclude.n; i++)
        strlist_add(&m->exclude, o->exclude.v[i]);
    m->listen = xstrdup(o->listen);
    if (r == 0)
        r = lock_state(s, o->state, e);
    if (r == 0)
        r = owner_check(o->owner, m->owner_uid, m->owner_gid, o->state, e);
    if (r == 0 && o->conflicts)
        r = conflict_folder(o->conflicts, o->root, e);
    if (r < 0)
        return r;
    m->conflicts = o->conflicts;
    m->db_path = xasprintf("%s/master.db", o->state);
    m->tree = &s->tree;
    r = tree_db_open(m->db_path, 0, &s->tree.db, e);
    if (r == 0)
        r = tree_start(&s->tree, m->timeline, m->id, &known, e);
    if (r < 0)
        return r;
    m->head = s->tree.seq;
    m->pool = db_pool_new(m->db_path);
    m->mirrors = mirrors_new();
    r = root_open(o->root, m->id, known, &m->root, e);
    if (r < 0)
        return r;
    m->uploads = uploads_new(m);
    uploads_clean(m->uploads, true);
    r = feed_start(m, &m->feed, e);
    if (r == 0)
        r = keep_start(m, &o->keep, &m->keep, e);
    if (r == 0)
        r = committer_start(m, &m->committer, e);
    if (r == 0)
        r = settling_start(m, &m->settling, e);
    if (r == 0)
        r = watch_start(m, &m->watch, e);
    if (r == 0)
        r = index_start(m, &m->index, e);
    if (r == 0)
        r = routes_start(m, o->insecure_http, &s->routes, e);
    if (r == 0)
        r = status_start(m, rundir_path(o->rundir), &s->status, e);
    return r;
}

static void stop(struct server *s)
{
    struct master *m = &s->m;

    m->stopping = true;
    status_stop(s->status);
    index_stop(m->index);
    watch_stop(m->watch);
    feed_stop(m->feed);
    settling_stop(m->settling);
    keep_stop(m->keep);
    committer_stop(m->committer);
    routes_stop(s->routes);
    index_free(m->index);
    committer_free(m->committer);
    keep_free(m->keep);
    feed_free(m->feed);
    uploads_free(m->uploads);
    root_close(m->root);
    mirrors_free(m->mirrors);
    db_pool_free(m->pool);
    db_close(s->tree.db);
    strlist_release(&m->exclude);
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

static void loop(struct server *s, const struct serve_options *o, const sigset_t *signals)
{
    const struct timespec look = {LOOK_MS / 1000, LOOK_MS % 1000 * 1000000};
    struct master *m = &s->m;
    int64_t next = clock_mono_ms() + jittered(o->rescan_ms);
    bool was = root_ok(m->root, (char[1]){0}, 1);
    char why[512];

    if (was)
        index_scan(m->index);
    else if (!root_ok(m->root, why, sizeof(why)))
        log_error("%s; nothing is served or published until it is back", why);
    for (;;) {
        int sig = sigtimedwait(signals, NULL, &look);
        bool ok = root_check(m->root);

        if (sig == SIGTERM || sig == SIGINT)
            return;
        if (!ok && was && !root_ok(m->root, why, sizeof(why)))
            log_error("%s; nothing is served or published until it is back", why);
        if (ok && !was)
            log_info("the folder '%s' is back", root_path(m->root));
        if (sig == SIGHUP)
            log_info("scanning '%s'", root_path(m->root));
        if (ok && (!was || sig == SIGHUP || (o->rescan_ms && clock_mono_ms() > next))) {
            uploads_clean(m->uploads, false);
            index_scan(m->index);
            next = clock_mono_ms() + jittered(o->rescan_ms);
        }
        was = ok;
    }
}

int serve(const struct serve_options *o, struct err *e)
{
    struct server *s = xcalloc(1, sizeof(*s));
    sigset_t signals;
    int r;

    s->lock_fd = -1;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN); /* a lease that is broken while we probe */
    r = start(s, o, e);
    if (r == 0) {
        log_info("serving %s on http://%s/ as master %s", o->root, o->listen, s->m.id);
        loop(s, o, &signals);
        log_info("stopping");
    }
    stop(s);
    free(s);
    return r;
}
