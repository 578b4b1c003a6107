/* SPDX-License-Identifier: MIT */
/*
 * file: small helpers over file descriptors that retry EINTR and short transfers.
 * All return 0 (or a count) or -errno. Thread safe.
 */
#ifndef EEFS_COMMON_FILE_H
#define EEFS_COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "sync/common/buf.h"
#include "sync/common/err.h"

/* Writes all `len` bytes. */
int file_write(int fd, const void *data, size_t len);
int file_pwrite(int fd, const void *data, size_t len, off_t at);
/*
 * The same where `fd` has nothing yet from `at` on, or a hole: blocks of zeros stay or become
 * holes, and the file ends behind the last byte or later.
 */
int file_pwrite_sparse(int fd, const void *data, size_t len, off_t at);
/* Reads until `len` bytes or end of file; returns the number read. */
ssize_t file_pread(int fd, void *data, size_t len, off_t at);

/* Appends a whole file to `out`; -EFBIG when it is larger than `max` bytes. */
int file_slurp(int dirfd, const char *path, size_t max, struct buf *out);

/*
 * Atomically replaces dirfd/path with `data`: temporary file in the same folder, mode `mode`,
 * rename. With `durable` also fsync of file and folder.
 */
int file_replace(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                 bool durable);

/* Copies all of `from` (offset 0 to its end) to offset 0 of `to`: reflink, else copy_file_range(2),
 * else read and write. `to` must be empty; holes stay holes where both filesystems support them. 0
 * or -errno. */
int file_copy(int from, int to);

/*
 * Renames unless `to` is there: -EEXIST. Where the filesystem has no RENAME_NOREPLACE (NFS, many by
 * FUSE) a file gets its second name first; a folder, and a file that cannot have two names, is
 * renamed after a check, so an entry that appears at `to` in that moment may be replaced.
 */
int file_rename_new(int from_dir, const char *from, int to_dir, const char *to);

/* mkdir -p of an ordinary (not tree) path; existing folders are left as they are. */
int file_mkdirs(const char *path, mode_t mode);

/* fsync of the folder itself, so that renames in it survive power loss. */
int file_sync_dir(int dirfd);
/* The same for the folder that holds `path` (an ordinary path). */
int file_sync_parent(const char *path);

/* Removes everything below and including dirfd/name, never following symlinks. */
int file_remove_tree(int dirfd, const char *name);

/* Fills `data` with bytes from getrandom(2). */
void file_random(void *data, size_t len);

/*
 * Reads a secret (a token) from a file: refuses a file that group or others may read, strips
 * white space at the end. The caller frees *ret.
 */
int file_read_secret(const char *path, char **ret, struct err *e);

/*
 * Times of files, on the wire and in the databases: nanoseconds since the epoch modulo 2^64, which
 * tell apart all times of 2^64 ns from FILE_TIME_MIN on: 1901-12-13 to 2486-07-02, as in XFS
 * (bigtime), and all that ext4 has. Up to 2262 that is the plain signed number. Such times have no
 * order as numbers, and every number is a valid time: an absent time has a flag of its own.
 */
#define FILE_TIME_MIN (-((int64_t)1 << 31)) /* s */
#define FILE_TIME_MAX (FILE_TIME_MIN + 18446744073LL)

/* False: that time cannot be stored. */
static inline bool file_time_fits(const struct timespec *ts)
{
    return ts->tv_sec >= FILE_TIME_MIN && ts->tv_sec < FILE_TIME_MAX;
}

/* The nearest time that can be stored. */
static inline int64_t file_time_ns(const struct timespec *ts)
{
    int64_t s = ts->tv_sec;

    if (s < FILE_TIME_MIN)
        s = FILE_TIME_MIN;
    else if (s >= FILE_TIME_MAX)
        s = FILE_TIME_MAX - 1;
    return (int64_t)((uint64_t)s * 1000000000 + (uint64_t)ts->tv_nsec);
}

static inline int64_t file_mtime_ns(const struct stat *st)
{
    return file_time_ns(&st->st_mtim);
}

static inline int64_t file_ctime_ns(const struct stat *st)
{
    return file_time_ns(&st->st_ctim);
}

static inline struct timespec file_timespec(int64_t ns)
{
    uint64_t since = (uint64_t)ns - (uint64_t)FILE_TIME_MIN * 1000000000;

    return (struct timespec){FILE_TIME_MIN + (int64_t)(since / 1000000000),
                             (long)(since % 1000000000)};
}

/* True when the two are less than `ns` apart. */
static inline bool file_time_near(int64_t a, int64_t b, int64_t ns)
{
    return (uint64_t)a - (uint64_t)b + (uint64_t)ns - 1 < 2 * (uint64_t)ns - 1;
}

#endif
