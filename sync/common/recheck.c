/* SPDX-License-Identifier: MIT */
#include "sync/common/recheck.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/worker.h"

#define LOOK_MS 250
#define BLOCK   (1 << 20)
#define NAME    "disk-try"

struct recheck {
    trouble_try_fn *fn;
    void *arg;
    struct worker worker;
};

/* What a disk that is not well answers. */
static int only_bad(int r)
{
    return r == -EIO || r == -EUCLEAN || r == -EROFS ? r : 0;
}

static int read_file(int fd)
{
    char *block = xmalloc(BLOCK);
    ssize_t n;
    int r;

    do
        n = read(fd, block, BLOCK);
    while (n > 0 || (n < 0 && errno == EINTR));
    r = n < 0 ? -errno : 0;
    free(block);
    return r;
}

/* Takes fd over. */
static int read_folder(int fd)
{
    DIR *d = fdopendir(fd);
    int r;

    if (!d) {
        r = -errno;
        close(fd);
        return r;
    }
    do
        errno = 0;
    while (readdir(d));
    r = -errno;
    closedir(d);
    return r;
}

int recheck_read(const char *path)
{
    struct stat st;
    char target[PATH_MAX];
    int fd, r = 0;

    if (lstat(path, &st) < 0) {
        r = -errno;
    } else if (S_ISLNK(st.st_mode)) {
        r = readlink(path, target, sizeof(target)) < 0 ? -errno : 0;
    } else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
            r = -errno;
        if (r == 0 && S_ISDIR(st.st_mode))
            return only_bad(read_folder(fd));
        if (r == 0 && S_ISREG(st.st_mode))
            r = read_file(fd);
        if (fd >= 0)
            close(fd);
    }
    return only_bad(r);
}

int recheck_write(const char *folder)
{
    char *path = xasprintf("%s/" NAME, folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), r = fd < 0 ? -errno : 0;

    if (r == 0 && (write(fd, path, strlen(path)) < 0 || fsync(fd) < 0))
        r = -errno;
    if (fd >= 0) {
        close(fd);
        if (unlink(path) < 0 && r == 0)
            r = -errno;
    }
    free(path);
    return only_bad(r);
}

int recheck_write_beside(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct stat st;
    char *folder = lstat(path, &st) == 0 && S_ISDIR(st.st_mode)
                       ? xstrdup(path)
                       : xstrndup(path, slash > path ? (size_t)(slash - path) : 1);
    int r = recheck_write(folder);

    free(folder);
    return r;
}

bool recheck_is_database(const char *path, const char *db)
{
    struct stat a, b;

    return strncmp(path, db, strlen(db)) == 0 || (stat(path, &a) == 0 && stat(db, &b) == 0 &&
                                                  a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

static void *recheck_run(void *arg)
{
    struct recheck *r = arg;

    worker_lock(&r->worker);
    while (!worker_stopping_locked(&r->worker)) {
        bool any;

        worker_unlock(&r->worker);
        any = trouble_look_again(r->fn, r->arg);
        worker_lock(&r->worker);
        if (!any)
            worker_wait_locked(&r->worker, clock_mono_ms() + LOOK_MS);
    }
    worker_unlock(&r->worker);
    return NULL;
}

int recheck_start(trouble_try_fn *fn, void *arg, struct recheck **ret)
{
    struct recheck *r = xcalloc(1, sizeof(*r));
    int rc;

    r->fn = fn;
    r->arg = arg;
    worker_init(&r->worker);
    rc = worker_start(&r->worker, "recheck", recheck_run, r);
    if (rc < 0)
        recheck_stop(r);
    else
        *ret = r;
    return rc;
}

void recheck_stop(struct recheck *r)
{
    if (!r)
        return;
    worker_release(&r->worker);
    free(r);
}
