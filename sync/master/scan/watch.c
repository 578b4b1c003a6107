/* SPDX-License-Identifier: MIT */
#include "sync/master/scan/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <fcntl.h>

#include "sync/common/buf.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/departures.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/notices.h"
#include "sync/master/folder/visible.h"

#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB |            \
     IN_ONLYDIR | IN_EXCL_UNLINK)
#define NOT_CLOSED_MS 20   /* a created file: usually its close comes first */
#define NAMES_MS      1000 /* one listing for many names that come and go */
#define MOVED_MS      100  /* the new name is published first, so that no mirror sees neither */

struct watch {
    struct master *m;
    pthread_t thread;
    int fd, wake; /* fd -1: no inotify instance, nothing can be watched */
    _Atomic int64_t failing, scan_failing, watched;
    atomic_int code; /* errno of the last failure */
    atomic_bool said;
    pthread_mutex_t lock; /* guards the rest; held across inotify calls and looks at the folder */
    char **paths;         /* by watch descriptor; NULL: not watched any more */
    size_t n;
};

static void failed(struct watch *w, const char *path, int code)
{
    char why[512], action[256];

    w->code = code;
    w->failing++;
    w->scan_failing++;
    if (atomic_exchange(&w->said, true))
        return;
    watch_limited(w, why, sizeof(why), action, sizeof(action));
    log_warn("cannot watch '%s/%s': %s; %s", root_path(w->m->folder->root), path, why, action);
}

static void remember_locked(struct watch *w, int wd, const char *path)
{
    if ((size_t)wd >= w->n) {
        size_t n = (size_t)wd * 2 + 64;
        w->paths = xrealloc(w->paths, n * sizeof(*w->paths));
        memset(w->paths + w->n, 0, (n - w->n) * sizeof(*w->paths));
        w->n = n;
    }
    w->watched += !w->paths[wd];
    free(w->paths[wd]);
    w->paths[wd] = xstrdup(path);
}

static void forget_locked(struct watch *w, size_t wd)
{
    w->watched--;
    free(w->paths[wd]);
    w->paths[wd] = NULL;
}

static int open_dir(struct watch *w, const char *path)
{
    return path_open_beneath(root_fd(w->m->folder->root), path, O_PATH | O_DIRECTORY | O_NOFOLLOW,
                             0);
}

/* True when `path` still leads to the folder behind fd. */
static bool still_there(struct watch *w, const char *path, int fd)
{
    struct stat a, b;
    int now = open_dir(w, path);
    bool yes = now >= 0 && fstat(fd, &a) == 0 && fstat(now, &b) == 0 && a.st_dev == b.st_dev &&
               a.st_ino == b.st_ino;

    if (now >= 0)
        close(now);
    return yes;
}

void watch_add(struct watch *w, const char *path)
{
    char proc[64];
    int wd = -1, code = EMFILE, dirfd = open_dir(w, path);

    if (dirfd < 0)
        return;
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", dirfd);
    mutex_lock(&w->lock);
    if (w->fd >= 0) {
        wd = inotify_add_watch(w->fd, proc, EVENTS);
        code = errno;
    }
    /*
     * Between opening and watching the folder may have been renamed, and its event been handled:
     * then the path would stay wrong. After this look a rename gives an event that is handled
     * later, for we hold the lock; its new path is looked at by that event.
     */
    if (wd >= 0 && still_there(w, path, dirfd)) {
        remember_locked(w, wd, path);
    } else if (wd >= 0 && ((size_t)wd >= w->n || !w->paths[wd])) {
        inotify_rm_watch(w->fd, wd);
    }
    mutex_unlock(&w->lock);
    close(dirfd);
    if (wd < 0 && code != ENOENT)
        failed(w, path, code);
}

void watch_reset(struct watch *w)
{
    mutex_lock(&w->lock);
    for (size_t wd = 0; wd < w->n; wd++) {
        if (w->paths[wd]) {
            inotify_rm_watch(w->fd, (int)wd);
            forget_locked(w, wd);
        }
    }
    mutex_unlock(&w->lock);
}

void watch_scan_begins(struct watch *w)
{
    w->scan_failing = 0;
}

void watch_scan_ended(struct watch *w)
{
    int64_t was = w->failing, is = w->scan_failing;

    w->failing = is;
    if (was && !is) {
        w->said = false;
        log_info("every folder below '%s' is watched now", root_path(w->m->folder->root));
    }
}

int64_t watch_folders(struct watch *w)
{
    return w->watched;
}

/* A number in /proc/sys, -1 when it cannot be read. */
static long setting(const char *path)
{
    FILE *f = fopen(path, "re");
    long n = -1;

    if (f && fscanf(f, "%ld", &n) != 1)
        n = -1;
    if (f)
        fclose(f);
    return n;
}

int64_t watch_limited(struct watch *w, char *why, size_t why_cap, char *action, size_t action_cap)
{
    int64_t n = w->failing;

    if (n == 0 || !why)
        return n;
    if (w->code == ENOSPC) {
        long limit = setting("/proc/sys/fs/inotify/max_user_watches");
        snprintf(why, why_cap,
                 "the watch limit is reached (fs.inotify.max_user_watches=%ld): only the periodic "
                 "scan finds changes in %lld folders",
                 limit, (long long)n);
        snprintf(action, action_cap, "raise it: sysctl fs.inotify.max_user_watches=%ld",
                 limit < 262144 ? 524288 : limit * 2);
    } else if (w->code == EMFILE) {
        long limit = setting("/proc/sys/fs/inotify/max_user_instances");
        snprintf(why, why_cap,
                 "no watch queue could be created (fs.inotify.max_user_instances=%ld): only the "
                 "periodic scan finds changes",
                 limit);
        snprintf(action, action_cap,
                 "raise it: sysctl fs.inotify.max_user_instances=%ld; then restart eefs-master",
                 limit < 512 ? 1024 : limit * 2);
    } else {
        snprintf(why, why_cap,
                 "%lld folders cannot be watched (%s): only the periodic scan finds changes there",
                 (long long)n, strerror(w->code));
        snprintf(action, action_cap, "let the user that serves read them");
    }
    return n;
}

/* A folder went elsewhere: its watches know it by the old path. */
static void forget_below(struct watch *w, const char *path)
{
    mutex_lock(&w->lock);
    for (size_t wd = 0; wd < w->n; wd++) {
        if (w->paths[wd] && path_is_under(w->paths[wd], path)) {
            inotify_rm_watch(w->fd, (int)wd);
            forget_locked(w, wd);
        }
    }
    mutex_unlock(&w->lock);
}

/* The name came or went. */
#define CAME (IN_CREATE | IN_MOVED_TO)
#define WENT (IN_DELETE | IN_MOVED_FROM)

/* The folder is listed, where one name of it says something about the others or the folder. */
static void push_folder(struct watch *w, const char *dir, uint32_t mask, bool hidden)
{
    struct notices *notices = w->m->notices;

    int flags = 0;

    if (hidden && *dir && (mask & (CAME | WENT)))
        flags |= SCAN_HIDDEN;
    if (!hidden && (mask & WENT) && notices_count(notices, NOTICE_SKIPPED, NULL) > 0)
        flags |= SCAN_HIDDEN;
    if (!hidden &&
        ((mask & CAME) || ((mask & WENT) && notices_count(notices, NOTICE_COLLISION, NULL) > 0)))
        flags |= SCAN_COLLISIONS;
    if (flags)
        scan_queue_push(w->m->folder->scan_queue, dir, flags | SCAN_FOUND, NAMES_MS);
}

static void event(struct watch *w, const struct inotify_event *ev)
{
    bool hidden;
    char *dir = NULL, *path;
    int flags = 0;
    int64_t delay = 0;

    if (ev->mask & IN_Q_OVERFLOW) {
        log_warn("too many changes at once for the watch queue; scanning '%s'",
                 root_path(w->m->folder->root));
        scan_queue_push(w->m->folder->scan_queue, "", SCAN_DEEP | SCAN_FULL, 0);
        return;
    }
    mutex_lock(&w->lock);
    if (ev->wd >= 0 && (size_t)ev->wd < w->n && w->paths[ev->wd]) {
        dir = xstrdup(w->paths[ev->wd]);
        if (ev->mask & IN_IGNORED)
            forget_locked(w, (size_t)ev->wd);
    }
    mutex_unlock(&w->lock);
    if (!dir || (ev->mask & IN_IGNORED) || ev->len == 0) {
        free(dir);
        return;
    }
    path = path_join(dir, ev->name);
    hidden = strlen(path) > EEFS_PATH_MAX || visible_hides(w->m->folder, path);
    if (!hidden) {
        if (ev->mask & IN_MOVED_FROM)
            departures_from(w->m->departures, ev->cookie, path);
        if (ev->mask & IN_MOVED_TO)
            departures_to(w->m->departures, ev->cookie, path);
        if ((ev->mask & IN_ISDIR) && (ev->mask & IN_MOVED_FROM))
            forget_below(w, path);
        if (ev->mask & CAME)
            flags |= SCAN_DEEP;
        if (ev->mask & IN_MOVED_TO)
            flags |= SCAN_MOVED;
        if (ev->mask & IN_CLOSE_WRITE)
            flags |= SCAN_FORCE;
        if (ev->mask & IN_MOVED_FROM)
            delay = MOVED_MS;
        else if ((ev->mask & (IN_CREATE | IN_ISDIR)) == IN_CREATE)
            delay = NOT_CLOSED_MS;
        scan_queue_push(w->m->folder->scan_queue, path, flags, delay);
    }
    push_folder(w, dir, ev->mask, hidden);
    free(dir);
    free(path);
}

static void *watch_run(void *arg)
{
    struct watch *w = arg;
    union {
        char bytes[DEPARTURES_READ];
        struct inotify_event align;
    } *buf = xmalloc(sizeof(*buf));
    struct pollfd fds[2] = {{w->fd, POLLIN, 0}, {w->wake, POLLIN, 0}};

    for (;;) {
        ssize_t n;

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            break;
        departures_reading(w->m->departures);
        n = read(w->fd, buf->bytes, sizeof(buf->bytes));
        for (ssize_t at = 0; at < n;) {
            struct inotify_event ev;
            memcpy(&ev, buf->bytes + at, sizeof(ev));
            event(w, (const void *)(buf->bytes + at));
            at += (ssize_t)(sizeof(ev) + ev.len);
        }
        departures_read(w->m->departures);
    }
    free(buf);
    return NULL;
}

int watch_start(struct master *m, struct watch **ret, struct err *e)
{
    struct watch *w = xcalloc(1, sizeof(*w));
    int r = 0;

    w->m = m;
    mutex_init(&w->lock);
    w->wake = eventfd(0, EFD_CLOEXEC);
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->wake < 0)
        r = err_sys(e, errno, "cannot create an event descriptor");
    if (r == 0) {
        departures_source(m->departures, w->fd);
        r = thread_start(&w->thread, "watch", watch_run, w);
        if (r < 0)
            err_sys(e, -r, "cannot start the watcher");
    }
    if (r < 0) {
        departures_source(m->departures, -1);
        if (w->fd >= 0)
            close(w->fd);
        if (w->wake >= 0)
            close(w->wake);
        free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void watch_stop(struct watch *w)
{
    if (!w)
        return;
    eventfd_write(w->wake, 1);
    thread_join(w->thread);
    departures_source(w->m->departures, -1);
    if (w->fd >= 0)
        close(w->fd);
    close(w->wake);
    for (size_t i = 0; i < w->n; i++)
        free(w->paths[i]);
    free(w->paths);
    mutex_destroy(&w->lock);
    free(w);
}
