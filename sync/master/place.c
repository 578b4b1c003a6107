/* SPDX-License-Identifier: MIT */
#include "sync/master/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/path.h"

void place_name(char *out)
{
    struct buf b = BUF_INIT;
    uint8_t raw[12];

    file_random(raw, sizeof(raw));
    buf_puts(&b, "tmp-");
    hex_encode(&b, raw, sizeof(raw));
    snprintf(out, PLACE_NAME_CAP, "%s", b.data);
    buf_release(&b);
}

static int create(struct master *m, const char *tmp)
{
    int fd = openat(root_staging_fd(m->root), tmp,
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    return fd < 0 ? -errno : fd;
}

static int finish(struct master *m, int fd, const char *tmp, int r)
{
    close(fd);
    if (r < 0)
        unlinkat(root_staging_fd(m->root), tmp, 0);
    return r;
}

int place_data(struct master *m, const char *tmp, const void *data, size_t len)
{
    int fd = create(m, tmp);

    return fd < 0 ? fd : finish(m, fd, tmp, len ? file_write(fd, data, len) : 0);
}

int place_copy(struct master *m, const char *tmp, const char *path, const struct hash *hash)
{
    int from = path_open_beneath(root_fd(m->root), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    struct hash got;
    int to, r;

    if (from < 0)
        return from == -ELOOP || from == -ENOTDIR ? -ENOENT : from;
    to = create(m, tmp);
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
    return finish(m, to, tmp, r);
}

int place_open_parent(const struct master *m, const char *path)
{
    char *dir = path_parent(path);
    int fd = path_open_beneath(root_fd(m->root), dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

    free(dir);
    return fd == -ELOOP ? -ENOTDIR : fd;
}

static int give(const struct master *m, int fd)
{
    if (m->owner_uid >= 0 && fchown(fd, (uid_t)m->owner_uid, (gid_t)m->owner_gid) < 0)
        return -errno;
    return 0;
}

int place_parents(struct master *m, const char *path)
{
    char *dir = path_parent(path);
    int parent, fd, r = place_open_parent(m, path);

    if (r >= 0) {
        close(r);
        r = 0;
    } else if (r == -ENOENT && *dir) {
        r = place_parents(m, dir);
        parent = r < 0 ? r : place_open_parent(m, dir);
        if (parent < 0) {
            r = parent;
        } else {
            if (mkdirat(parent, path_base(dir), 0755) < 0 && errno != EEXIST)
                r = -errno;
            fd = openat(parent, path_base(dir), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (r == 0 && fd < 0)
                r = -errno;
            if (r == 0)
                r = give(m, fd);
            if (r == 0)
                r = file_sync_dir(parent);
            if (fd >= 0)
                close(fd);
            close(parent);
        }
    }
    free(dir);
    return r;
}

int place_file(struct master *m, const char *tmp, const char *path, bool over, mode_t mode,
               int64_t mtime, struct stat *st)
{
    int staging = root_staging_fd(m->root);
    int fd = openat(staging, tmp, O_RDWR | O_CLOEXEC | O_NOFOLLOW), dir = -1, r = 0;
    struct timespec times[2] = {{0, UTIME_NOW}, file_timespec(mtime)};

    if (fd < 0)
        return -errno;
    r = give(m, fd); /* before chmod: chown clears bits */
    if (r == 0 && (fchmod(fd, mode) < 0 || futimens(fd, times) < 0 || fsync(fd) < 0))
        r = -errno;
    crash_point("master.put.staged");
    if (r == 0)
        r = dir = place_open_parent(m, path);
    if (r >= 0)
        r = renameat2(staging, tmp, dir, path_base(path), over ? 0 : RENAME_NOREPLACE) < 0 ? -errno
                                                                                           : 0;
    crash_point("master.put.renamed");
    if (r == 0)
        r = file_sync_dir(dir);
    if (r == 0 && fstat(fd, st) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(staging, tmp, 0);
    if (dir >= 0)
        close(dir);
    close(fd);
    return r;
}

int place_attrs(const struct master *m, const char *path, int64_t mode, int64_t mtime)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    char proc[64];
    struct stat st;
    int r = 0, fd = path_open_beneath(root_fd(m->root), path, O_PATH | O_NOFOLLOW, 0);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (S_ISLNK(st.st_mode))
        r = -ELOOP;
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    if (r == 0 && mode >= 0 && chmod(proc, (mode_t)mode) < 0)
        r = -errno;
    if (mtime >= 0)
        times[1] = file_timespec(mtime);
    if (r == 0 && mtime >= 0 && utimensat(AT_FDCWD, proc, times, 0) < 0)
        r = -errno;
    close(fd);
    return r;
}
