/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/inherit.h"
#include "sync/master/folder/replace.h"
#include "sync/master/folder/staging.h"

static bool takes_ending(int staging, const char *ending, size_t len)
{
    char *tmp = xasprintf("tmp-%.*s", (int)len, ending);
    int fd = openat(staging, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool takes = fd >= 0 || errno != ENOENT;

    if (fd >= 0) {
        unlinkat(staging, tmp, 0);
        close(fd);
    }
    free(tmp);
    return takes;
}

bool install_takes_name(const struct folder *f, const char *base)
{
    int staging = root_staging_fd(f->root);
    size_t half = strlen(base) / 2;

    /* In two parts, for a name may be as long as one can be; not within a character of UTF-8. */
    while (half > 0 && (base[half] & 0xc0) == 0x80)
        half--;
    return takes_ending(staging, base, half) && takes_ending(staging, base + half, strlen(base));
}

int install_owner(const struct folder *f, int fd, int dir, const struct stat *was)
{
    uid_t uid = (uid_t)-1;
    gid_t gid = (gid_t)-1;
    struct stat st, folder;

    if (fstat(fd, &st) < 0 || fstat(dir, &folder) < 0)
        return -errno;
    if (f->owner_uid >= 0) {
        uid = (uid_t)f->owner_uid;
        gid = (gid_t)f->owner_gid;
    } else if (was) {
        uid = was->st_uid;
        gid = was->st_gid;
    } else {
        if (geteuid() == 0)
            uid = folder.st_uid;
        if (geteuid() == 0 || (folder.st_mode & S_ISGID))
            gid = folder.st_gid;
    }
    if ((uid == (uid_t)-1 || uid == st.st_uid) && (gid == (gid_t)-1 || gid == st.st_gid))
        return 0;
    if (fchown(fd, uid, gid) == 0)
        return 0;
    if (f->owner_uid >= 0)
        return -errno;
    /* Not ours to give away; the group may be. */
    return fchown(fd, (uid_t)-1, gid) == 0 || errno == EPERM ? 0 : -errno;
}

int install_parents(struct folder *f, const char *path)
{
    char *dir = path_parent(path);
    int parent, fd, r = staging_open_parent(f, path);

    if (r >= 0) {
        close(r);
        r = 0;
    } else if (r == -ENOENT && *dir) {
        r = install_parents(f, dir);
        parent = r < 0 ? r : staging_open_parent(f, dir);
        if (parent < 0) {
            r = parent;
        } else {
            if (mkdirat(parent, path_base(dir), 0755) < 0 && errno != EEXIST)
                r = -errno;
            fd = openat(parent, path_base(dir), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (r == 0 && fd < 0)
                r = -errno;
            if (r == 0)
                r = install_owner(f, fd, parent, NULL);
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

/* The file that ours replaces or, with none, is a copy of: fd or -1. */
static int open_like(struct folder *f, int dir, const char *base, const char *like)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    int fd = openat(dir, base, flags | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && like)
        fd = path_open_beneath(root_fd(f->root), like, flags, 0);
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd < 0 ? -1 : fd;
}

int install_prepare(struct folder *f, int fd, int dir, const char *base,
                    const struct install_attr *a)
{
    struct timespec times[2] = {{0, UTIME_NOW}, file_timespec(a->mtime)};
    struct stat was;
    bool there = fstatat(dir, base, &was, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(was.st_mode);
    int like = open_like(f, dir, base, a->like), r = inherit_file(fd, like, dir);
    mode_t mode = like < 0 ? inherit_mode(dir, a->mode, a->umask) : a->mode;

    if (like >= 0)
        close(like);
    if (r < 0)
        return r;

    /* The owner last: after giving a file away the server may not change it. */
    if (fchmod(fd, mode) < 0 || futimens(fd, times) < 0)
        r = -errno;
    return r < 0 ? r : install_owner(f, fd, dir, there ? &was : NULL);
}

int install_place(struct folder *f, char *tmp, int dir, const char *path, const struct row *was,
                  const struct hash *now)
{
    int r;

    crash_point("master.put.staged");
    if (was->e.type != ENTRY_GONE)
        r = replace_file(f, tmp, dir, path, was, now);
    else
        r = file_rename_new(root_staging_fd(f->root), tmp, dir, path_base(path));
    crash_point("master.put.renamed");
    if (r == 0)
        *tmp = '\0'; /* that name is the old file's by now */
    return r;
}

int install_file(struct folder *f, char *tmp, const char *path, const struct row *was,
                 const struct install_attr *a, const struct hash *now, struct stat *st)
{
    int dir, r, fd = openat(root_staging_fd(f->root), tmp, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -errno;
    r = dir = staging_open_parent(f, path);
    if (dir >= 0)
        r = install_prepare(f, fd, dir, path_base(path), a);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0)
        r = install_place(f, tmp, dir, path, was, now);
    if (r == 0)
        r = file_sync_dir(dir);
    if (r == 0 && fstat(fd, st) < 0)
        r = -errno;
    if (dir >= 0)
        close(dir);
    close(fd);
    return r;
}

static int link_time(const struct folder *f, const char *path, const int64_t *mtime)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, file_timespec(*mtime)};
    int dir = staging_open_parent(f, path), r = 0;

    if (dir < 0)
        return dir;
    if (utimensat(dir, path_base(path), times, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    close(dir);
    return r;
}

int install_attrs(const struct folder *f, const char *path, int64_t mode, const int64_t *mtime)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    char proc[64];
    struct stat st;
    int r = 0, fd = path_open_beneath(root_fd(f->root), path, O_PATH | O_NOFOLLOW, 0);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        r = -errno;
    else if (S_ISLNK(st.st_mode) && mode >= 0)
        r = -ELOOP;
    if (r == 0 && S_ISLNK(st.st_mode)) {
        close(fd);
        return mtime ? link_time(f, path, mtime) : 0;
    }
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    if (r == 0 && mode >= 0 && chmod(proc, (mode_t)mode) < 0)
        r = -errno;
    if (mtime)
        times[1] = file_timespec(*mtime);
    if (r == 0 && mtime && utimensat(AT_FDCWD, proc, times, 0) < 0)
        r = -errno;
    close(fd);
    return r;
}
