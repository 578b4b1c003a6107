/* SPDX-License-Identifier: MIT */
#include "sync/master/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"

#define MARKER ".eefs/marker"

struct root {
    char *path;
    char id[33];
    int fd, staging;
    pthread_mutex_t lock; /* guards the rest */
    bool ok;
    char why[384];
};

static int read_marker(int fd, char *id, size_t cap)
{
    struct buf b = BUF_INIT;
    int r = file_slurp(fd, MARKER, 4096, &b);

    if (r == 0) {
        size_t n = strcspn(b.data ? b.data : "", "\n");
        snprintf(id, cap, "%.*s", (int)n, b.data ? b.data : "");
    }
    buf_release(&b);
    return r;
}

static int make_marker(struct root *r, int fd, struct err *e)
{
    char *line;
    int res;

    if (mkdirat(fd, ROOT_HIDDEN, 0700) < 0 && errno != EEXIST)
        return err_sys(e, errno, "cannot create '%s/%s'", r->path, ROOT_HIDDEN);
    line = xasprintf("%s\n", r->id);
    res = file_replace(fd, MARKER, line, strlen(line), 0600, true);
    free(line);
    if (res < 0)
        return err_sys(e, -res, "cannot write '%s/%s'", r->path, MARKER);
    return 0;
}

/* Puts the folder behind the descriptors that everybody holds. */
static int adopt(struct root *r, int fd)
{
    int staging;

    if (mkdirat(fd, ROOT_STAGING, 0700) < 0 && errno != EEXIST)
        return -errno;
    staging = openat(fd, ROOT_STAGING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (staging < 0)
        return -errno;
    dup3(fd, r->fd, O_CLOEXEC);
    dup3(staging, r->staging, O_CLOEXEC);
    close(staging);
    return 0;
}

int root_open(const char *path, const char *id, bool known, struct root **ret, struct err *e)
{
    struct root *r = xcalloc(1, sizeof(*r));
    char there[64] = "";
    int fd = -1, res = 0;

    r->path = xstrdup(path);
    snprintf(r->id, sizeof(r->id), "%s", id);
    mutex_init(&r->lock);
    r->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    r->staging = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || r->staging < 0) {
        res = err_sys(e, errno, "cannot open '/dev/null'");
        goto out;
    }
    if (!known) {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            res = err_sys(e, errno, "cannot open the folder '%s' to serve", path);
            goto out;
        }
        if (read_marker(fd, there, sizeof(there)) == -ENOENT || strcmp(there, id) != 0)
            res = make_marker(r, fd, e);
        if (res < 0)
            goto out;
    }
    root_check(r);
out:
    if (fd >= 0)
        close(fd);
    if (res < 0)
        root_close(r);
    else
        *ret = r;
    return res;
}

void root_close(struct root *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    if (r->staging >= 0)
        close(r->staging);
    mutex_destroy(&r->lock);
    free(r->path);
    free(r);
}

int root_fd(const struct root *r)
{
    return r->fd;
}

int root_staging_fd(const struct root *r)
{
    return r->staging;
}

const char *root_path(const struct root *r)
{
    return r->path;
}

static bool look_locked(struct root *r)
{
    struct stat now, held;
    char there[64] = "";
    int fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int res;

    if (fd < 0) {
        snprintf(r->why, sizeof(r->why), "the folder '%.200s' cannot be opened: %s", r->path,
                 strerror(errno));
        return false;
    }
    res = read_marker(fd, there, sizeof(there));
    if (res < 0) {
        snprintf(r->why, sizeof(r->why),
                 "the folder '%.200s' has lost its marker '%s' (emptied, replaced or not mounted?)",
                 r->path, MARKER);
        close(fd);
        return false;
    }
    if (strcmp(there, r->id) != 0) {
        snprintf(r->why, sizeof(r->why), "the folder '%.200s' belongs to another master (%.33s)",
                 r->path, there);
        close(fd);
        return false;
    }
    if (fstat(fd, &now) == 0 && fstat(r->fd, &held) == 0 &&
        (now.st_dev != held.st_dev || now.st_ino != held.st_ino)) {
        res = adopt(r, fd);
        if (res < 0) {
            snprintf(r->why, sizeof(r->why), "cannot use '%.200s/%s': %s", r->path, ROOT_STAGING,
                     strerror(-res));
            close(fd);
            return false;
        }
    }
    close(fd);
    r->why[0] = '\0';
    return true;
}

bool root_check(struct root *r)
{
    bool ok;

    mutex_lock(&r->lock);
    ok = r->ok = look_locked(r);
    mutex_unlock(&r->lock);
    return ok;
}

bool root_ok(struct root *r, char *out, size_t cap)
{
    bool ok;

    mutex_lock(&r->lock);
    ok = r->ok;
    snprintf(out, cap, "%s", r->why);
    mutex_unlock(&r->lock);
    return ok;
}
