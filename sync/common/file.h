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

/* Copies all of `from` (offset 0 to its end) to offset 0 of `to`: reflink, else
 * copy_file_range(2), else read and write. */
int file_copy(int from, int to);

/*
 * Renames unless `to` is there: -EEXIST. Where the filesystem has no RENAME_NOREPLACE (NFS, many by
 * FUSE) a file gets its second name first; a folder, and a file that cannot have two, goes by a
 * look before, and what comes to `to` at that moment may be replaced.
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

/* Nanoseconds since the epoch, as in struct timespec. */
static inline int64_t file_mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static inline int64_t file_ctime_ns(const struct stat *st)
{
    return (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

static inline struct timespec file_timespec(int64_t ns)
{
    struct timespec ts = {ns / 1000000000, ns % 1000000000};

    if (ts.tv_nsec < 0) {
        ts.tv_nsec += 1000000000;
        ts.tv_sec--;
    }
    return ts;
}

#endif
