/* SPDX-License-Identifier: MIT */
#include "sync/master/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <fcntl.h>

#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/master/index.h"

#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB |            \
     IN_ONLYDIR | IN_EXCL_UNLINK)
#define NOT_CLOSED_MS 20  /* a created file: usually its close comes first */
#define MOVED_MS      100 /* the new name is published first, so that no mirror sees neither */

struct watch {
    struct master *m;
    pthread_t thread;
    int fd, wake;
    atomic_bool limited;
    pthread_mutex_t lock; /* guards paths; held across inotify_add_watch */
    char **paths;         /* by watch descriptor; NULL: not watched any more */
    size_t n;
};

void watch_add(struct watch *w, const char *path)
{
    char proc[64];
    int dirfd = path_open_beneath(root_fd(w->m->root), path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
    int wd, code;

    if (dirfd < 0)
        return;
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", dirfd);
    mutex_lock(&w->lock);
    wd = inotify_add_watch(w->fd, proc, EVENTS);
    code = errno;
    if (wd >= 0) {
        if ((size_t)wd >= w->n) {
            size_t n = (size_t)wd * 2 + 64;
            w->paths = xrealloc(w->paths, n * sizeof(*w->paths));
            memset(w->paths + w->n, 0, (n - w->n) * sizeof(*w->paths));
            w->n = n;
        }
        free(w->paths[wd]);
        w->paths[wd] = xstrdup(path);
    }
    mutex_unlock(&w->lock);
    close(dirfd);
    if (wd < 0 && code != ENOENT && !atomic_exchange(&w->limited, true))
        log_warn(
            "cannot watch '%s/%s': %s; changes in folders beyond the limit are only found by the "
            "periodic scan; raise it with sysctl fs.inotify.max_user_watches",
            root_path(w->m->root), path, code == ENOSPC ? "watch limit reached" : strerror(code));
}

bool watch_limited(struct watch *w)
{
    return w->limited;
}

/* A folder went elsewhere: its watches know it by the old path. */
static void forget_below(struct watch *w, const char *path)
{
    mutex_lock(&w->lock);
    for (size_t wd = 0; wd < w->n; wd++) {
        if (w->paths[wd] && path_is_under(w->paths[wd], path)) {
            inotify_rm_watch(w->fd, (int)wd);
            free(w->paths[wd]);
            w->paths[wd] = NULL;
        }
    }
    mutex_unlock(&w->lock);
}

static void event(struct watch *w, const struct inotify_event *ev)
{
    char *dir = NULL, *path;
    int flags = 0;
    int64_t delay = 0;

    if (ev->mask & IN_Q_OVERFLOW) {
        log_warn("too many changes at once for the watch queue; scanning '%s'",
                 root_path(w->m->root));
        index_push(w->m->index, "", INDEX_DEEP | INDEX_SCAN, 0);
        return;
    }
    mutex_lock(&w->lock);
    if (ev->wd >= 0 && (size_t)ev->wd < w->n && w->paths[ev->wd]) {
        dir = xstrdup(w->paths[ev->wd]);
        if (ev->mask & IN_IGNORED) {
            free(w->paths[ev->wd]);
            w->paths[ev->wd] = NULL;
        }
    }
    mutex_unlock(&w->lock);
    if (!dir || (ev->mask & IN_IGNORED) || ev->len == 0) {
        free(dir);
        return;
    }
    path = path_join(dir, ev->name);
    free(dir);
    if (strlen(path) <= EEFS_PATH_MAX && !master_hides(w->m, path)) {
        if ((ev->mask & IN_ISDIR) && (ev->mask & IN_MOVED_FROM))
            forget_below(w, path);
        if (ev->mask & (IN_CREATE | IN_MOVED_TO))
            flags |= INDEX_DEEP;
        if (ev->mask & IN_CLOSE_WRITE)
            flags |= INDEX_FORCE;
        if (ev->mask & IN_MOVED_FROM)
            delay = MOVED_MS;
        else if ((ev->mask & (IN_CREATE | IN_ISDIR)) == IN_CREATE)
            delay = NOT_CLOSED_MS;
        index_push(w->m->index, path, flags, delay);
    }
    free(path);
}

static void *run(void *arg)
{
    struct watch *w = arg;
    union {
        char bytes[65536];
        struct inotify_event align;
    } *buf = xmalloc(sizeof(*buf));
    struct pollfd fds[2] = {{w->fd, POLLIN, 0}, {w->wake, POLLIN, 0}};

    for (;;) {
        ssize_t n;

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents)
            break;
        n = read(w->fd, buf->bytes, sizeof(buf->bytes));
        for (ssize_t at = 0; at < n;) {
            struct inotify_event ev;
            memcpy(&ev, buf->bytes + at, sizeof(ev));
            event(w, (const void *)(buf->bytes + at));
            at += (ssize_t)(sizeof(ev) + ev.len);
        }
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
    if (w->fd < 0 || w->wake < 0) {
        r = err_sys(e, errno,
                    "cannot create a watch queue (fs.inotify.max_user_instances may be too small)");
    } else {
        r = thread_start(&w->thread, "watch", run, w);
        if (r < 0)
            err_sys(e, -r, "cannot start the watcher");
    }
    if (r < 0) {
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
    close(w->fd);
    close(w->wake);
    for (size_t i = 0; i < w->n; i++)
        free(w->paths[i]);
    free(w->paths);
    mutex_destroy(&w->lock);
    free(w);
}
