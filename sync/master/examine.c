/* SPDX-License-Identifier: MIT */
#include "sync/master/examine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/master/committer.h"
#include "sync/master/index.h"
#include "sync/master/pool.h"
#include "sync/master/watch.h"

#define RACY_NS       2000000000LL /* a later write may leave the same mtime */
#define RACY_AGAIN_MS 2200
#define OPEN_AGAIN_MS 2000 /* closing gives an event; this is for writers that give none */

static void observed(struct master *m, const char *path, const struct stat *st, bool gone,
                     const struct hash *hash, char *target, int64_t seen)
{
    struct observation *o = xcalloc(1, sizeof(*o));

    o->path = xstrdup(path);
    o->gone = gone;
    if (st)
        o->st = *st;
    if (hash)
        o->hash = *hash;
    o->target = target;
    o->seen = seen;
    committer_observe(m->committer, o);
}

/* True when nobody has the file open for writing. */
static bool nobody_writes(int fd, const struct stat *st)
{
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        fcntl(fd, F_SETLEASE, F_UNLCK);
        return true;
    }
    if (errno == EAGAIN)
        return false;
    /* No leases here (filesystem, or no CAP_LEASE for another owner's file): a quiet period. */
    return clock_wall_ns() - file_mtime_ns(st) > RACY_NS;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           file_mtime_ns(a) == file_mtime_ns(b) && file_ctime_ns(a) == file_ctime_ns(b);
}

static void examine_file(struct master *m, const char *path, int flags)
{
    struct stat before, after;
    struct hash hash;
    int64_t seen = clock_wall_ns();
    int keep = flags & INDEX_FORCE;
    int fd = path_open_beneath(root_fd(m->root), path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    int r = fd;

    if (fd < 0 || fstat(fd, &before) < 0 || !S_ISREG(before.st_mode)) {
        if (fd == -EACCES || fd == -EIO || fd == -EPERM) {
            char *text = path_encoded(path);
            log_error("cannot read '%s': %s; it is not published", text, strerror(-fd));
            free(text);
        } else {
            index_push(m->index, path, keep, 100);
        }
        goto out;
    }
    if (!nobody_writes(fd, &before)) {
        index_push(m->index, path, INDEX_FORCE, OPEN_AGAIN_MS);
        goto out;
    }
    r = hash_fd(fd, &hash, NULL);
    if (r == 0 && fstat(fd, &after) < 0)
        r = -errno;
    if (r < 0) {
        log_error("cannot read '%s': %s; it is tried again", path, strerror(-r));
        index_push(m->index, path, keep, 5000);
    } else if (!same_stat(&before, &after) || !nobody_writes(fd, &after)) {
        index_push(m->index, path, INDEX_FORCE, 100);
    } else {
        observed(m, path, &after, false, &hash, NULL, seen);
        if (seen - file_mtime_ns(&after) < RACY_NS && file_mtime_ns(&after) - seen < RACY_NS)
            index_push(m->index, path, INDEX_FORCE, RACY_AGAIN_MS);
    }
out:
    if (fd >= 0)
        close(fd);
}

static void examine_link(struct master *m, const char *path, const struct stat *st)
{
    char target[PATH_MAX];
    int fd = path_open_beneath(root_fd(m->root), path, O_PATH | O_NOFOLLOW, 0);
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);

    if (fd >= 0)
        close(fd);
    if (n < 0) {
        index_push(m->index, path, 0, 100);
        return;
    }
    target[n] = '\0';
    observed(m, path, st, false, NULL, xstrdup(target), clock_wall_ns());
}

/* The content was read when a write could still have left the same mtime. */
static bool racy(const struct row *row)
{
    return row->e.type == ENTRY_FILE && row->seen - row->e.mtime < RACY_NS &&
           row->e.mtime - row->seen < RACY_NS;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_dir(int fd, struct strlist *ret)
{
    DIR *d = fdopendir(fd);
    struct dirent *de;

    if (!d) {
        int r = -errno;
        close(fd);
        return r;
    }
    while ((errno = 0, de = readdir(d)))
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            strlist_add(ret, de->d_name);
    if (errno) {
        int r = -errno;
        closedir(d);
        return r;
    }
    closedir(d);
    if (ret->n > 1)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
    return 0;
}

/* One name found on disk: pushed unless it is as its row says. */
static void examine_child(struct master *m, struct db *db, int dirfd, const char *path,
                          const char *name, int flags)
{
    struct row row = {0};
    struct stat st;
    bool clean = false;

    if (master_hides(m, path))
        return;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
        if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
            clean = tree_get(db, path, &row) == 0;
        else if (tree_get(db, path, &row) == 1)
            clean = row_matches(&row, &st) && !racy(&row);
        row_release(&row);
    }
    if (!clean)
        index_push(m->index, path, INDEX_DEEP | (flags & INDEX_SCAN), 0);
}

static void examine_children(struct master *m, struct db *db, const char *dir, int flags)
{
    struct strlist disk = {0}, rows = {0};
    size_t i = 0, j = 0;
    int fd = path_open_beneath(root_fd(m->root), dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int listfd = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 ? fd : listfd < 0 ? -errno : 0;

    if (r == 0)
        r = tree_names(db, dir, &rows);
    if (r == 0)
        r = list_dir(listfd, &disk);
    else if (listfd >= 0)
        close(listfd);
    if (r < 0) {
        char *text = path_encoded(dir);
        if (r != -ENOENT && r != -ENOTDIR && r != -ELOOP)
            log_error("cannot list '%s': %s; nothing in it is published", text, strerror(-r));
        free(text);
    }
    while (r == 0 && (i < disk.n || j < rows.n)) {
        int c = i >= disk.n ? 1 : j >= rows.n ? -1 : strcmp(disk.v[i], rows.v[j]);
        char *path = path_join(dir, c <= 0 ? disk.v[i] : rows.v[j]);

        if (strlen(path) > EEFS_PATH_MAX)
            log_warn("a path below '%.200s…' is longer than %d bytes; it is not served", path,
                     EEFS_PATH_MAX);
        else if (c > 0)
            index_push(m->index, path, flags & INDEX_SCAN, 0);
        else
            examine_child(m, db, fd, path, disk.v[i], flags);
        free(path);
        i += c <= 0;
        j += c >= 0;
    }
    strlist_release(&disk);
    strlist_release(&rows);
    if (fd >= 0)
        close(fd);
}

static void examine_dir(struct master *m, struct db *db, const char *path, const struct stat *st,
                        const struct row *row, int flags)
{
    bool live = row->e.type == ENTRY_DIR;

    if (*path && (!live || row->e.mode != (st->st_mode & 07777)))
        observed(m, path, st, false, NULL, NULL, clock_wall_ns());
    if (!live || (flags & INDEX_DEEP)) {
        watch_add(m->watch, path);
        examine_children(m, db, path, flags);
    }
}

void examine(struct master *m, const char *path, int flags)
{
    struct db *db = db_pool_get(m->pool);
    struct row row = {0};
    struct stat st;
    bool live, fresh;
    int r;

    if (!db || tree_get(db, path, &row) < 0) {
        index_push(m->index, path, flags & ~INDEX_SCAN, 5000);
        goto out;
    }
    live = row.e.type != ENTRY_GONE;
    r = master_lstat(m, path, &st);
    if (r == -ENOENT) {
        if (live && *path)
            observed(m, path, NULL, true, NULL, NULL, 0);
    } else if (r < 0) {
        index_push(m->index, path, flags & ~INDEX_SCAN, 5000);
    } else if (S_ISDIR(st.st_mode)) {
        examine_dir(m, db, path, &st, &row, flags);
    } else {
        fresh = row_matches(&row, &st);
        if (S_ISLNK(st.st_mode) && !fresh)
            examine_link(m, path, &st);
        else if (S_ISREG(st.st_mode) && (!fresh || (flags & INDEX_FORCE) || racy(&row)))
            examine_file(m, path, flags);
    }
out:
    row_release(&row);
    db_pool_put(m->pool, db);
}
