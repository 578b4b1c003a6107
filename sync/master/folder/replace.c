/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/displaced.h"
#include "sync/master/folder/lease.h"

/* Only attributes changed just now: 0. -EBUSY: another content; -EAGAIN: too large to read here,
 * and the next current_row() knows it. */
static int check_content(int fd, const struct row *was, const struct stat *st)
{
    struct hash hash;
    int r = !S_ISREG(st->st_mode) || st->st_size != was->e.size ? -EBUSY
            : st->st_size > FOLDER_READ_MAX                     ? -EAGAIN
                                                                : hash_fd(fd, &hash, NULL);

    return r < 0 || hash_eq(&hash, &was->e.hash) ? r : -EBUSY;
}

/* A file that is held against writers. */
struct held {
    int fd;
    bool leased;
    struct stat st;
};

/* Opens what `was` describes and takes a lease. -EBUSY: it is another file or is being written. */
static int hold(int dir, const char *path, const struct row *was, struct held *ret)
{
    int fd = openat(dir, path_base(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    enum writers who;
    int r = 0;

    if (fd < 0)
        return -errno;
    who = lease_take(fd);
    ret->fd = fd;
    ret->leased = who == WRITERS_NONE;
    if (who == WRITERS_SOME)
        r = -EBUSY;
    if (r == 0 && fstat(fd, &ret->st) < 0)
        r = -errno;
    if (r == 0 && !row_matches(was, &ret->st))
        r = check_content(fd, was, &ret->st);
    if (r < 0)
        close(fd);
    return r;
}

/* Still that file, unchanged, and nobody waits to write: a rename changes only the ctime. */
static bool untouched(const struct held *h)
{
    struct stat st;

    if (h->leased && lease_broken(h->fd))
        return false;
    return fstat(h->fd, &st) == 0 && st.st_size == h->st.st_size &&
           file_mtime_ns(&st) == file_mtime_ns(&h->st);
}

static bool is_inode(int dir, const char *name, int64_t ino)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (int64_t)st.st_ino == ino;
}

/* A link in the way has no writers. */
static int swap_link(int staging, char *tmp, int dir, const char *base, const struct row *was)
{
    if (!is_inode(dir, base, was->ino))
        return -EBUSY;
    return renameat(staging, tmp, dir, base) < 0 ? -errno : 0;
}

/* Undoes an exchange: -EBUSY, and `name` is our file `ino` again. -EAGAIN when a local file had
 * replaced ours meanwhile: it keeps the path, and the file that was there before is in `name`. */
static int exchange_back(int staging, const char *name, int dir, const char *base, int64_t ino)
{
    int r = staging_exchange(staging, name, dir, base);

    if (r < 0)
        return r;
    if (is_inode(staging, name, ino))
        return -EBUSY;
    r = staging_exchange(staging, name, dir, base);
    return r < 0 ? r : -EAGAIN;
}

int replace_file(struct folder *f, char *tmp, int dir, const char *path, const struct row *was,
                 const struct hash *now)
{
    static const struct row unknown;
    int staging = root_staging_fd(f->root), r;
    const char *base = path_base(path);
    char name[STAGING_NAME_CAP];
    struct held old;
    struct stat ours;
    bool swapped;

    if (was->e.type == ENTRY_LINK)
        return swap_link(staging, tmp, dir, base, was);
    r = hold(dir, path, was, &old);
    if (r < 0)
        return r == -ELOOP || r == -ENOENT ? -EBUSY : r;
    displaced_name(path, &was->e.hash, now, name);
    r = fstatat(staging, tmp, &ours, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    if (r == 0)
        r = renameat(staging, tmp, staging, name) < 0 ? -errno : 0;
    if (r == 0)
        snprintf(tmp, STAGING_NAME_CAP, "%s", name);
    crash_point("master.put.named");
    if (r == 0)
        r = staging_exchange(staging, name, dir, base);
    swapped = r == 0;
    crash_point("master.put.exchanged");
    if (swapped && (!is_inode(staging, name, (int64_t)old.st.st_ino) || !untouched(&old))) {
        r = exchange_back(staging, name, dir, base, (int64_t)ours.st_ino);
        swapped = r != -EBUSY;
        was = &unknown; /* the file in staging is a local one: settled as such */
    }
    close(old.fd); /* and with it the lease */
    if (swapped) {
        displaced_later(f, name, path, was, now);
        *tmp = '\0';
        return r == -EAGAIN ? r : 0;
    }
    return r == -ENOENT ? -EBUSY : r;
}

int replace_remove(struct folder *f, int dir, const char *path, const struct row *was)
{
    static const struct hash none;
    int staging = root_staging_fd(f->root), r;
    const char *base = path_base(path);
    char name[STAGING_NAME_CAP];
    struct held old;

    if (was->e.type != ENTRY_FILE)
        return unlinkat(dir, base, 0) < 0 ? -errno : 0;
    r = hold(dir, path, was, &old);
    if (r < 0)
        return r == -ELOOP ? -EBUSY : r;
    displaced_name(path, &was->e.hash, &none, name);
    r = file_rename_new(dir, base, staging, name);
    crash_point("master.remove.unlinked");
    if (r == 0 && (!is_inode(staging, name, (int64_t)old.st.st_ino) || !untouched(&old))) {
        /* When the name was taken meanwhile, the file is settled as a copy. */
        if (file_rename_new(staging, name, dir, base) == 0)
            r = -EBUSY;
    }
    close(old.fd);
    if (r == 0)
        displaced_later(f, name, path, was, &none);
    return r;
}

/* Where names cannot be exchanged nothing is at `path` for a moment. */
static int rename_in_two(struct folder *f, int a, const char *from, int dir, const char *path,
                         const struct row *was)
{
    int r = replace_remove(f, dir, path, was);

    if (r == 0)
        r = file_rename_new(a, from, dir, path_base(path));
    return r == -EEXIST ? -EBUSY : r;
}

/*
 * What has the name `from` after the exchange goes to staging: the old file (1), or a local file
 * that came to either name at that moment and is settled as such (0).
 */
static int take_exchanged(struct folder *f, int a, const char *from, const char *path,
                          const struct row *was, ino_t ino, const struct hash *now)
{
    static const struct row unknown;
    int staging = root_staging_fd(f->root), old, r;
    char name[STAGING_NAME_CAP];

    displaced_name(path, &was->e.hash, now, name);
    r = file_rename_new(a, from, staging, name);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    old = is_inode(staging, name, (int64_t)ino);
    displaced_later(f, name, path, old ? was : &unknown, now);
    return old;
}

int replace_rename(struct folder *f, int a, const char *from, int dir, const char *path,
                   const struct row *was, const struct hash *now)
{
    int staging = root_staging_fd(f->root);
    char name[STAGING_NAME_CAP];
    struct held old;
    int r = hold(dir, path, was, &old);

    if (r < 0)
        return r == -ELOOP || r == -ENOENT ? -EBUSY : r;
    displaced_name(path, &was->e.hash, now, name);
    r = linkat(dir, path_base(path), staging, name, 0) < 0 ? -errno : 0;
    if (r == 0 && !is_inode(staging, name, (int64_t)old.st.st_ino))
        r = -EBUSY;
    if (r == 0 && renameat2(a, from, dir, path_base(path), RENAME_EXCHANGE) < 0)
        r = -errno;
    crash_point("master.rename.exchanged");
    if (r == 0) {
        r = take_exchanged(f, a, from, path, was, old.st.st_ino, now);
        if (r <= 0)
            displaced_later(f, name, path, was, now);
        else
            staging_discard(f, name);
        r = r < 0 ? r : 0;
    } else {
        staging_discard(f, name);
    }
    close(old.fd);
    if (r == -EINVAL || r == -ENOSYS || r == -EPERM || r == -EOPNOTSUPP || r == -EMLINK)
        return rename_in_two(f, a, from, dir, path, was);
    return r == -ENOENT ? -EBUSY : r;
}
