/* SPDX-License-Identifier: MIT */
#include "sync/common/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "sync/common/trouble.h"

#define HOLE_BLOCK 4096
#define COPY_BLOCK (1024 * 1024)
#define SECRET_MAX 4096

/* malloc'd folder part of an ordinary path: "." when it has none. */
static char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return xstrdup(".");
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

int file_write(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return trouble_at(-errno, fd, NULL);
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int file_pwrite(int fd, const void *data, size_t len, off_t at)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return trouble_at(-errno, fd, NULL);
        p += n;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static bool is_zero(const char *p, size_t len)
{
    return len == 0 || (*p == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* How many bytes from `at` on are, block by block, zeros or something else: *zero. */
static size_t run(const char *p, size_t len, off_t at, bool *zero)
{
    size_t n = 0;

    while (n < len) {
        size_t step = HOLE_BLOCK - (size_t)((at + (off_t)n) % HOLE_BLOCK);
        bool hole;

        if (step > len - n)
            step = len - n;
        hole = is_zero(p + n, step);
        if (n == 0)
            *zero = hole;
        else if (hole != *zero)
            break;
        n += step;
    }
    return n;
}

int file_pwrite_sparse(int fd, const void *data, size_t len, off_t at)
{
    const char *p = data;
    off_t end = at + (off_t)len;
    bool zero = false;
    struct stat st;
    int r = 0;

    while (at < end && r == 0) {
        size_t n = run(p, (size_t)(end - at), at, &zero);

        if (!zero)
            r = file_pwrite(fd, p, n, at);
        p += n;
        at += (off_t)n;
    }
    if (r == 0 && zero && fstat(fd, &st) == 0 && st.st_size < end && ftruncate(fd, end) < 0)
        r = trouble_at(-errno, fd, NULL);
    return r;
}

ssize_t file_pread(int fd, void *data, size_t len, off_t at)
{
    char *p = data;
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, p + got, len - got, at + (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return trouble_at(-errno, fd, NULL);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

int file_slurp(int dirfd, const char *path, size_t max, struct buf *out)
{
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t start = out->len;
    int r = 0;

    if (fd < 0)
        return trouble_at(-errno, dirfd, path);
    for (;;) {
        ssize_t n;

        buf_reserve(out, 64 * 1024);
        n = read(fd, out->data + out->len, 64 * 1024);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            r = trouble_at(-errno, fd, NULL);
        if (n <= 0)
            break;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (out->len - start > max) {
            r = -EFBIG;
            break;
        }
    }
    close(fd);
    return r;
}

int file_replace(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                 bool durable)
{
    uint64_t tag;
    char *tmp;
    int fd, parent, r;

    file_random(&tag, sizeof(tag));
    tmp = xasprintf("%s.%016llx.tmp", path, (unsigned long long)tag);
    fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        r = trouble_at(-errno, dirfd, path);
        free(tmp);
        return r;
    }
    r = file_write(fd, data, len);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r == 0 && durable && fsync(fd) < 0)
        r = -errno;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dirfd, tmp, 0);
        trouble_at(r, dirfd, path);
    }
    free(tmp);
    if (r == 0 && durable) {
        char *dir = dir_of(path);
        parent = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        free(dir);
        if (parent < 0)
            return -errno;
        r = file_sync_dir(parent);
        close(parent);
    }
    return r;
}

/* Copies `from` `at` to `end`, as far as copy_file_range(2) can. */
static off_t copy_range(int from, int to, off_t at, off_t end)
{
    while (at < end) {
        off_t in = at, out = at;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += n;
    }
    return at;
}

static int copy_blocks(int from, int to, off_t at)
{
    char *block = xmalloc(COPY_BLOCK);
    int r = 0;

    for (;;) {
        ssize_t n = file_pread(from, block, COPY_BLOCK, at);
        if (n < 0)
            r = (int)n;
        if (n <= 0)
            break;
        r = file_pwrite_sparse(to, block, (size_t)n, at);
        if (r < 0)
            break;
        at += n;
    }
    free(block);
    return r;
}

int file_copy(int from, int to)
{
    struct stat st;
    off_t at = 0, data;

    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    if (fstat(from, &st) < 0)
        return -errno;
    while (at < st.st_size && (data = lseek(from, at, SEEK_DATA)) >= 0 && data < st.st_size) {
        off_t end = lseek(from, data, SEEK_HOLE);

        if (end < 0 || end > st.st_size)
            end = st.st_size;
        at = copy_range(from, to, data, end);
        if (at < end)
            return copy_blocks(from, to, at);
    }
    if (at < st.st_size && errno == ENXIO) { /* a hole at the end */
        at = st.st_size;
        if (ftruncate(to, at) < 0)
            return trouble_at(-errno, to, NULL);
    }
    return copy_blocks(from, to, at);
}

int file_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
    struct stat st;

    if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -errno;
    if (linkat(from_dir, from, to_dir, to, 0) == 0)
        return unlinkat(from_dir, from, 0) < 0 ? -errno : 0;
    if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP)
        return -errno;
    if (fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    if (errno != ENOENT || renameat(from_dir, from, to_dir, to) < 0)
        return -errno;
    return 0;
}

int file_mkdirs(const char *path, mode_t mode)
{
    char *p = xstrdup(path);
    int r = 0;

    for (char *s = p + 1; r == 0; s++) {
        char c = *s;

        if (c != '/' && c != '\0')
            continue;
        *s = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            r = -errno;
        *s = c;
        if (c == '\0')
            break;
    }
    free(p);
    return r;
}

int file_sync_dir(int dirfd)
{
    return fsync(dirfd) < 0 ? trouble_at(-errno, dirfd, NULL) : 0;
}

int file_sync_parent(const char *path)
{
    char *dir = dir_of(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    free(dir);
    if (fd < 0)
        return -errno;
    r = file_sync_dir(fd);
    close(fd);
    return r;
}

int file_remove_tree(int dirfd, const char *name)
{
    struct dirent *d;
    DIR *dir;
    int fd, r = 0;

    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    dir = fdopendir(fd);
    if (!dir) {
        r = -errno;
        close(fd);
        return r;
    }
    while (r == 0 && (d = readdir(dir)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            r = file_remove_tree(fd, d->d_name);
    closedir(dir);
    if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    return r;
}

void file_random(void *data, size_t len)
{
    char *p = data;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        assert(n > 0);
        p += n;
        len -= (size_t)n;
    }
}

int file_read_secret(const char *path, char **ret, struct err *e)
{
    char text[SECRET_MAX + 1];
    struct stat st;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return err_sys(e, errno, "cannot read the token file '%s'", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, EINVAL, "the token file '%s' is not an ordinary file", path);
    }
    if (st.st_mode & 077) {
        close(fd);
        return err_set(e, EPERM,
                       "the token file '%s' can be read by group or others (mode %04o); "
                       "run: chmod 600 '%s'",
                       path, (unsigned)(st.st_mode & 07777), path);
    }
    n = file_pread(fd, text, SECRET_MAX, 0);
    close(fd);
    if (n < 0)
        return err_sys(e, (int)-n, "cannot read the token file '%s'", path);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    text[n] = '\0';
    if (n == 0 || strlen(text) != (size_t)n)
        return err_set(e, EINVAL, "the token file '%s' is empty or not text", path);
    *ret = xstrdup(text);
    memset(text, 0, sizeof(text));
    return 0;
}
