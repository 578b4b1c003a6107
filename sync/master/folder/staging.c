/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/root.h"
#include "sync/master/folder/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/hash.h"
#include "sync/common/path.h"

void staging_name(char *out)
{
    struct buf b = BUF_INIT;
    uint8_t raw[12];

    file_random(raw, sizeof(raw));
    buf_puts(&b, "tmp-");
    hex_encode(&b, raw, sizeof(raw));
    snprintf(out, STAGING_NAME_CAP, "%s", b.data);
    buf_release(&b);
}

bool staging_is_name(const char *name)
{
    return strncmp(name, "tmp-", 4) == 0 && strlen(name) == 28 &&
           strspn(name + 4, "0123456789abcdef") == 24;
}

static int create(struct folder *f, const char *tmp)
{
    int fd = openat(root_staging_fd(f->root), tmp,
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    return fd < 0 ? -errno : fd;
}

static int finish(struct folder *f, int fd, const char *tmp, int r)
{
    close(fd);
    if (r < 0)
        unlinkat(root_staging_fd(f->root), tmp, 0);
    return r;
}

int staging_write(struct folder *f, const char *tmp, const void *data, size_t len)
{
    int fd = create(f, tmp);

    return fd < 0 ? fd : finish(f, fd, tmp, file_pwrite_sparse(fd, data, len, 0));
}

int staging_copy(struct folder *f, const char *tmp, int dir, const char *path,
                 const struct hash *hash)
{
    int from = path_open_beneath(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct hash got;
    int to, r;

    if (from < 0)
        return from == -ELOOP || from == -ENOTDIR ? -ENOENT : from;
    to = create(f, tmp);
    if (to < 0) {
        close(from);
        return to;
    }
    r = file_copy(from, to);
    close(from);
    if (r == 0)
        r = hash_fd(to, &got, NULL);
    if (r == 0 && !hash_eq(&got, hash))
        r = -ENOENT;
    return finish(f, to, tmp, r);
}

int staging_link(const struct folder *f, const char *tmp, const char *target, const int64_t *mtime)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    int staging = root_staging_fd(f->root), r = 0;

    if (mtime)
        times[1] = file_timespec(*mtime);
    if (symlinkat(target, staging, tmp) < 0)
        return -errno;
    if (utimensat(staging, tmp, times, AT_SYMLINK_NOFOLLOW) < 0 ||
        (f->owner_uid >= 0 &&
         fchownat(staging, tmp, (uid_t)f->owner_uid, (gid_t)f->owner_gid, AT_SYMLINK_NOFOLLOW) < 0))
        r = -errno;
    if (r < 0)
        unlinkat(staging, tmp, 0);
    return r;
}

int staging_open_parent(const struct folder *f, const char *path)
{
    char *dir = path_parent(path);
    int fd = path_open_beneath(root_fd(f->root), dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

    free(dir);
    return fd == -ELOOP ? -ENOTDIR : fd;
}

/*
 * Exchanges the two names; where that cannot be done: a second name for the old one, then over it.
 * After a kill that second name must mean the same as `name`, so only its last digit differs. Where
 * there are no second names the path is free for a moment; settle.c repairs it after a kill.
 */
int staging_exchange(int staging, const char *name, int dir, const char *base)
{
    char aside[STAGING_NAME_CAP];
    size_t len = strlen(name);
    int r = 0;

    if (renameat2(staging, name, dir, base, RENAME_EXCHANGE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -errno;
    snprintf(aside, sizeof(aside), "%s", name);
    aside[len - 1] = name[len - 1] == '0' ? '1' : '0';
    if (linkat(dir, base, staging, aside, 0) < 0) {
        if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP)
            return -errno;
        /* No second names either: for a moment nothing is there. */
        r = renameat(dir, base, staging, aside) < 0 ? -errno : 0;
        crash_point("master.exchange.away");
        if (r == 0)
            r = file_rename_new(staging, name, dir, base);
        if (r < 0)
            file_rename_new(staging, aside, dir, base);
    } else if (renameat(staging, name, dir, base) < 0) {
        r = -errno;
        unlinkat(staging, aside, 0);
    }
    crash_point("master.exchange.aside");
    if (r == 0 && renameat(staging, aside, staging, name) < 0)
        r = -errno;
    return r;
}

void staging_discard(struct folder *f, const char *tmp)
{
    if (*tmp)
        unlinkat(root_staging_fd(f->root), tmp, 0);
}
