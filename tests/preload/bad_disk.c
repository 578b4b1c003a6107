/* SPDX-License-Identifier: MIT */
/*
 * bad_disk: LD_PRELOAD library, a disk that fails. While the file that $BAD_DISK names exists, calls
 * on what it lists return EIO. Each of its lines is "r PATH", "w PATH", "rw PATH" or "d PATH": reading,
 * writing, both, or only reading the content of files fails for every path that begins so ("…/replica.db" stands for its log as well, "…/folder/"
 * for what is in it).
 *
 * Tells files that are open by /proc/self/fd. What is mapped into memory goes on.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#define READ  1
#define WRITE 2
#define DATA  4

/* Without the functions below. */
static bool listed(const char *path, int what)
{
    const char *list = getenv("BAD_DISK");
    char text[4096], *line, *rest = text;
    long fd = list ? syscall(SYS_openat, AT_FDCWD, list, O_RDONLY | O_CLOEXEC) : -1, n;

    if (fd < 0)
        return false;
    n = syscall(SYS_read, fd, text, sizeof(text) - 1);
    syscall(SYS_close, fd);
    text[n > 0 ? n : 0] = '\0';
    while ((line = strsep(&rest, "\n"))) {
        char *prefix = strchr(line, ' ');
        bool hit;

        if (!prefix || !prefix[1])
            continue;
        *prefix++ = '\0';
        hit = (what & READ && strchr(line, 'r')) || (what & WRITE && strchr(line, 'w')) ||
              (what & DATA && strchr(line, 'd'));
        if (hit && strncmp(path, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

static bool active(void)
{
    const char *list = getenv("BAD_DISK");

    return list && syscall(SYS_faccessat, AT_FDCWD, list, F_OK) == 0;
}

static bool fails_at(int dirfd, const char *name, int what)
{
    char link[40], path[2 * PATH_MAX];
    int saved = errno;
    ssize_t n = 0;
    bool fails;

    if (!active()) {
        errno = saved;
        return false;
    }
    if (!name || *name != '/') {
        if (dirfd == AT_FDCWD)
            snprintf(link, sizeof(link), "/proc/self/cwd");
        else
            snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
        n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX);
        n = n < 0 ? 0 : n;
    }
    snprintf(path + n, sizeof(path) - (size_t)n, "%s%s", name && *name && *name != '/' ? "/" : "",
             name ? name : "");
    fails = listed(path, what);
    errno = fails ? EIO : saved;
    return fails;
}

#define FAILS_FD(fd, what) fails_at(fd, NULL, what)

/* What programs call that were built with _FORTIFY_SOURCE. */
ssize_t __read_chk(int fd, void *data, size_t n, size_t cap);
ssize_t __pread64_chk(int fd, void *data, size_t n, off64_t at, size_t cap);
int __open64_2(const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

/* --- calls with a fixed list of arguments --- */

#define CALL(type, name, check, params, args)                                                      \
    type name params                                                                               \
    {                                                                                              \
        static type(*real) params;                                                                 \
        if (check)                                                                                 \
            return -1;                                                                             \
        if (!real) {                                                                               \
            void *found = dlsym(RTLD_NEXT, #name);                                                 \
            memcpy(&real, &found, sizeof(real));                                                   \
        }                                                                                          \
        return real args;                                                                          \
    }

CALL(ssize_t, read, FAILS_FD(fd, READ | DATA), (int fd, void *data, size_t n), (fd, data, n))
CALL(ssize_t, pread64, FAILS_FD(fd, READ | DATA), (int fd, void *data, size_t n, off64_t at),
     (fd, data, n, at))
CALL(ssize_t, __read_chk, FAILS_FD(fd, READ | DATA), (int fd, void *data, size_t n, size_t cap),
     (fd, data, n, cap))
CALL(ssize_t, __pread64_chk, FAILS_FD(fd, READ | DATA),
     (int fd, void *data, size_t n, off64_t at, size_t cap), (fd, data, n, at, cap))
CALL(ssize_t, write, FAILS_FD(fd, WRITE), (int fd, const void *data, size_t n), (fd, data, n))
CALL(ssize_t, pwrite64, FAILS_FD(fd, WRITE), (int fd, const void *data, size_t n, off64_t at),
     (fd, data, n, at))
CALL(ssize_t, copy_file_range, FAILS_FD(from, READ | DATA) || FAILS_FD(to, WRITE),
     (int from, off64_t *in, int to, off64_t *out, size_t n, unsigned flags),
     (from, in, to, out, n, flags))
CALL(int, fsync, FAILS_FD(fd, WRITE), (int fd), (fd))
CALL(int, fdatasync, FAILS_FD(fd, WRITE), (int fd), (fd))
CALL(int, syncfs, FAILS_FD(fd, WRITE), (int fd), (fd))
CALL(int, ftruncate64, FAILS_FD(fd, WRITE), (int fd, off64_t n), (fd, n))
CALL(int, fstat64, FAILS_FD(fd, READ), (int fd, struct stat64 *st), (fd, st))
CALL(int, stat64, fails_at(AT_FDCWD, path, READ), (const char *path, struct stat64 *st), (path, st))
CALL(int, lstat64, fails_at(AT_FDCWD, path, READ), (const char *path, struct stat64 *st),
     (path, st))
CALL(int, fstatat64, fails_at(dir, path, READ),
     (int dir, const char *path, struct stat64 *st, int flags), (dir, path, st, flags))
CALL(int, access, fails_at(AT_FDCWD, path, READ), (const char *path, int mode), (path, mode))
CALL(int, faccessat, fails_at(dir, path, READ), (int dir, const char *path, int mode, int flags),
     (dir, path, mode, flags))
CALL(ssize_t, readlinkat, fails_at(dir, path, READ),
     (int dir, const char *path, char *data, size_t n), (dir, path, data, n))
CALL(int, mkdir, fails_at(AT_FDCWD, path, WRITE), (const char *path, mode_t mode), (path, mode))
CALL(int, mkdirat, fails_at(dir, path, WRITE), (int dir, const char *path, mode_t mode),
     (dir, path, mode))
CALL(int, unlink, fails_at(AT_FDCWD, path, WRITE), (const char *path), (path))
CALL(int, unlinkat, fails_at(dir, path, WRITE), (int dir, const char *path, int flags),
     (dir, path, flags))
CALL(int, rename, fails_at(AT_FDCWD, from, WRITE) || fails_at(AT_FDCWD, to, WRITE),
     (const char *from, const char *to), (from, to))
CALL(int, renameat, fails_at(from_dir, from, WRITE) || fails_at(to_dir, to, WRITE),
     (int from_dir, const char *from, int to_dir, const char *to), (from_dir, from, to_dir, to))
CALL(int, renameat2, fails_at(from_dir, from, WRITE) || fails_at(to_dir, to, WRITE),
     (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
     (from_dir, from, to_dir, to, flags))
CALL(int, linkat, fails_at(from_dir, from, WRITE) || fails_at(to_dir, to, WRITE),
     (int from_dir, const char *from, int to_dir, const char *to, int flags),
     (from_dir, from, to_dir, to, flags))
CALL(int, fchmod, FAILS_FD(fd, WRITE), (int fd, mode_t mode), (fd, mode))
CALL(int, fchmodat, fails_at(dir, path, WRITE), (int dir, const char *path, mode_t mode, int flags),
     (dir, path, mode, flags))
CALL(int, futimens, FAILS_FD(fd, WRITE), (int fd, const struct timespec times[2]), (fd, times))
CALL(int, utimensat, fails_at(dir, path, WRITE),
     (int dir, const char *path, const struct timespec times[2], int flags),
     (dir, path, times, flags))

/* --- the others --- */

static void *next_of(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

struct dirent64 *readdir64(DIR *d)
{
    void *found = next_of("readdir64");
    struct dirent64 *(*real)(DIR *);

    if (FAILS_FD(dirfd(d), READ))
        return NULL;
    memcpy(&real, &found, sizeof(real));
    return real(d);
}

static int what_of(int flags)
{
    return (flags & O_ACCMODE) == O_RDONLY || flags & O_PATH ? READ
           : flags & O_CREAT                                 ? READ | WRITE
                                                             : READ;
}

#define OPEN(name, params, args)                                                                   \
    int name params                                                                                \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        va_list more;                                                                              \
                                                                                                   \
        va_start(more, flags);                                                                     \
        if (flags & (O_CREAT | __O_TMPFILE))                                                       \
            mode = va_arg(more, mode_t);                                                           \
        va_end(more);                                                                              \
        return open_really args;                                                                   \
    }

static int open_really(int dir, const char *path, int flags, mode_t mode)
{
    if (fails_at(dir, path, what_of(flags)))
        return -1;
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

OPEN(open64, (const char *path, int flags, ...), (AT_FDCWD, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))

int __open64_2(const char *path, int flags)
{
    return open_really(AT_FDCWD, path, flags, 0);
}

int __openat64_2(int dir, const char *path, int flags)
{
    return open_really(dir, path, flags, 0);
}

/* openat2(2) has no function of its own. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    va_list list;
    long a[6];

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!real) {
        void *found = next_of("syscall");
        memcpy(&real, &found, sizeof(real));
    }
    if (number == SYS_openat2) {
        const struct open_how *how;
        const char *path;

        memcpy(&path, &a[1], sizeof(path));
        memcpy(&how, &a[2], sizeof(how));
        if (fails_at((int)a[0], path, what_of((int)how->flags)))
            return -1;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
