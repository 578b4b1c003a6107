/* SPDX-License-Identifier: MIT */
#include "sync/master/scan/examine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/scan/name_collisions.h"
#include "sync/master/commit/committer.h"
#include "sync/master/folder/departures.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/scan/find_renamed.h"
#include "sync/master/db/readers.h"
#include "sync/master/folder/notices.h"
#include "sync/master/folder/volume.h"
#include "sync/master/scan/watch.h"
#include "sync/master/folder/lease.h"
#include "sync/master/folder/visible.h"

#define RACY_NS       2000000000LL /* a later write may leave the same times */
#define RACY_AGAIN_MS 2200
#define OPEN_AGAIN_MS 2000  /* closing gives an event; this is for writers that give none */
#define ROUND_MAX     16    /* names that went round */
#define RENAMED_MS    10000 /* so long after a rename its new name is waited for */
#define RENAMED_AGAIN 20    /* milliseconds */
#define LARGE         (4 << 20)
#define BLOCK         (1 << 20)
#define STILL_BYTES   (64 << 20) /* a file that changes while it is read is not read to its end */

static struct observation *observation_new(const char *path, const struct stat *st)
{
    struct observation *o = xcalloc(1, sizeof(*o));

    o->path = xstrdup(path);
    if (st)
        o->st = *st;
    return o;
}

static void observed(struct master *m, const char *path, const struct stat *st, bool gone,
                     const struct hash *hash, char *target, int64_t seen)
{
    struct observation *o = observation_new(path, st);

    o->gone = gone;
    if (hash)
        o->hash = *hash;
    o->target = target;
    o->seen = seen;
    committer_observe(m->committer, o);
}

/* True when the file may be published; else status lists it, unless it was just written. */
static bool nobody_writes(struct master *m, const char *path, int fd, const struct stat *st)
{
    enum writers who = lease_probe(fd);

    if (who == WRITERS_NONE || (who == WRITERS_UNKNOWN && root_age_ns(m->folder->root, st) >=
                                                              m->folder->quiet_ms * 1000000)) {
        notices_clear(m->notices, NOTICE_OPEN, path);
        return true;
    }
    notices_set(m->notices, NOTICE_OPEN, path,
                who == WRITERS_SOME ? "a writer has it open" : "written a moment ago");
    return false;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           file_mtime_ns(a) == file_mtime_ns(b) && file_ctime_ns(a) == file_ctime_ns(b);
}

/* 0; -EAGAIN: it changed meanwhile; -ESHUTDOWN; -errno. */
static int hash_still(struct master *m, int fd, const struct stat *st, struct hash *ret)
{
    size_t cap = st->st_size < BLOCK ? (size_t)st->st_size + 1 : BLOCK;
    struct hash_stream *s = hash_stream_new();
    char *block = xmalloc(cap);
    struct stat now;
    off_t at = 0;
    int r = 0;

    for (;;) {
        ssize_t n = file_pread(fd, block, cap, at);
        if (n <= 0) {
            r = (int)n;
            break;
        }
        hash_stream_add(s, block, (size_t)n);
        at += n;
        if (m->stopping)
            r = -ESHUTDOWN;
        else if (at > st->st_size ||
                 (at % STILL_BYTES == 0 && fstat(fd, &now) == 0 && !same_stat(st, &now)))
            r = -EAGAIN;
        if (r < 0)
            break;
    }
    if (r == 0)
        hash_stream_end(s, ret);
    free(block);
    hash_stream_free(s);
    return r;
}

static void unreadable(struct master *m, const char *path, int code)
{
    if (notices_set(m->notices, NOTICE_UNREADABLE, path, strerror(code))) {
        char *text = path_encoded(path);
        log_error("cannot read '%s': %s; it is not published", text, strerror(code));
        free(text);
    }
}

/* Times this near to the moment of reading may not reveal a later write. */
static bool is_near(int64_t seen, int64_t time)
{
    return file_time_near(seen, time, RACY_NS);
}

/* The kernel reports a close a moment before the file counts as closed: so the first retry comes
 * soon. */
static int64_t open_again_ms(struct master *m, const char *path)
{
    int64_t age = notices_age(m->notices, NOTICE_OPEN, path);

    return age < 200 ? 20 : age < OPEN_AGAIN_MS ? 200 : OPEN_AGAIN_MS;
}

static void examine_file(struct master *m, const char *path, int flags)
{
    struct stat before, after;
    struct hash hash;
    int64_t seen = clock_wall_ns();
    int keep = flags & (SCAN_FORCE | SCAN_FOUND | SCAN_LARGE);
    int fd =
        path_open_beneath(root_fd(m->folder->root), path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
    int r = fd;

    if (fd < 0 || fstat(fd, &before) < 0 || !S_ISREG(before.st_mode)) {
        if (fd == -EACCES || fd == -EIO || fd == -EPERM)
            unreadable(m, path, -fd);
        if (fd != -EACCES && fd != -EPERM) /* which end with an event */
            scan_queue_push(m->folder->scan_queue, path, keep, fd == -EIO ? 5000 : 100);
        goto out;
    }
    if (!nobody_writes(m, path, fd, &before)) {
        scan_queue_push(m->folder->scan_queue, path, keep | SCAN_FORCE, open_again_ms(m, path));
        goto out;
    }
    if (before.st_size > LARGE && !(flags & SCAN_LARGE)) {
        scan_queue_push(m->folder->scan_queue, path, flags | SCAN_LARGE, 0);
        goto out;
    }
    r = hash_still(m, fd, &before, &hash);
    if (r == 0 && fstat(fd, &after) < 0)
        r = -errno;
    if (r == -ESHUTDOWN) {
        goto out;
    } else if (r < 0 && r != -EAGAIN) {
        unreadable(m, path, -r);
        scan_queue_push(m->folder->scan_queue, path, keep, 5000);
    } else if (r < 0 || !same_stat(&before, &after) || !nobody_writes(m, path, fd, &after)) {
        scan_queue_push(m->folder->scan_queue, path, keep | SCAN_FORCE, 100);
    } else {
        notices_clear(m->notices, NOTICE_UNREADABLE, path);
        observed(m, path, &after, false, &hash, NULL, seen);
        if (is_near(seen, file_mtime_ns(&after)) || is_near(seen, file_ctime_ns(&after)))
            scan_queue_push(m->folder->scan_queue, path, SCAN_FORCE | SCAN_FOUND, RACY_AGAIN_MS);
    }
out:
    if (fd >= 0)
        close(fd);
}

static void examine_link(struct master *m, const char *path, const struct stat *st)
{
    char *target = visible_readlink(m->folder, path);

    if (target)
        observed(m, path, st, false, NULL, target, clock_wall_ns());
    else
        scan_queue_push(m->folder->scan_queue, path, 0, 100);
}

/* The content was read when a write could still have left the same times. */
static bool racy(const struct row *row)
{
    return row->e.type == ENTRY_FILE &&
           (is_near(row->seen, row->e.mtime) || is_near(row->seen, row->ctime));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_served(mode_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
}

/* *others: some are of types that are not served. */
static int list_dir(int dirfd, struct strlist *ret, bool *others)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;

    if (!d) {
        int r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    *others = false;
    while ((errno = 0, de = readdir(d))) {
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        strlist_add(ret, de->d_name);
        *others |= de->d_type != DT_UNKNOWN && !is_served(DTTOIF(de->d_type));
    }
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

/* True: that was not known. */
static bool skipped(struct master *m, const char *path, const char *text)
{
    char *enc;

    if (!notices_set(m->notices, NOTICE_SKIPPED, path, text))
        return false;
    enc = path_encoded(path);
    log_warn("'%.300s' is not served: it is %s", enc, text);
    free(enc);
    return true;
}

static const char *type_name(mode_t mode)
{
    return S_ISFIFO(mode)                   ? "a named pipe"
           : S_ISSOCK(mode)                 ? "a socket"
           : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                            : "neither a file, a folder nor a symbolic link";
}

struct names_alike {
    struct master *m;
    const char *dir;
};

static void found_alike(void *arg, const char *a, const char *b)
{
    const struct names_alike *n = arg;
    char *path = path_join(n->dir, b), *first = path_encoded(a);
    char *text = xasprintf("differs from '%s' only by case or normalisation", first);

    notices_set(n->m->notices, NOTICE_COLLISION, path, text);
    free(text);
    free(first);
    free(path);
}

static void look_alike(struct master *m, const char *dir, const struct strlist *names)
{
    struct names_alike alike = {m, dir};

    notices_clear_collisions(m->notices, dir);
    name_collisions_find(names->v, names->n, found_alike, &alike);
}

static bool any_hidden(struct master *m, const char *dir, const struct strlist *names)
{
    bool any = false;

    for (size_t i = 0; i < names->n && !any; i++) {
        char *path = path_join(dir, names->v[i]);

        any = strlen(path) > EEFS_PATH_MAX || visible_hides(m->folder, path);
        free(path);
    }
    return any;
}

/* One look at a folder; `row` is as before it. */
struct dir_look {
    struct master *m;
    const char *dir;
    const struct stat *st;
    const struct row *row;
    int flags;
};

/* After an event also as the row has it: the committer may just be writing the contrary. */
static void look_hidden(const struct dir_look *k, const struct strlist *names, bool others)
{
    bool hides = others || any_hidden(k->m, k->dir, names);
    struct observation *o;

    if (!*k->dir || (hides == k->row->e.hides && !(k->flags & SCAN_HIDDEN)))
        return;
    o = observation_new(k->dir, k->st);
    o->listed = true;
    o->hides = hides;
    committer_observe(k->m->committer, o);
}

static int open_dir(struct master *m, const char *dir)
{
    return path_open_beneath(root_fd(m->folder->root), dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* Names came or went. */
static void examine_names(const struct dir_look *k)
{
    int fd = open_dir(k->m, k->dir);
    struct strlist names = {0};
    bool others;

    if (fd >= 0 && list_dir(fd, &names, &others) == 0) {
        if (k->flags & SCAN_COLLISIONS)
            look_alike(k->m, k->dir, &names);
        if (k->flags & SCAN_HIDDEN)
            look_hidden(k, &names, others);
    }
    strlist_release(&names);
    if (fd >= 0)
        close(fd);
}

/* A folder's names on disk beside its rows, both in byte order. */
struct listing {
    struct master *m;
    const char *dir;
    int fd, flags;
    char path[EEFS_PATH_MAX + EEFS_NAME_MAX + 3];
    size_t prefix; /* bytes of path that are the folder's */
};

static const char *child_path(struct listing *l, const char *name)
{
    snprintf(l->path + l->prefix, sizeof(l->path) - l->prefix, "%s", name);
    return l->path;
}

/* One name found on disk: queued unless it matches its row (NULL: none). */
static void examine_child(struct listing *l, const char *name, const struct row *row)
{
    const char *path = child_path(l, name);
    struct master *m = l->m;
    struct stat st;
    bool clean = false;

    if (visible_hides(m->folder, path)) {
        if (row)
            scan_queue_push(m->folder->scan_queue, path, SCAN_FOUND | (l->flags & SCAN_FULL), 0);
        return;
    }
    if (strlen(path) > EEFS_PATH_MAX) {
        skipped(m, path, "a path that is too long");
        return;
    }
    if (fstatat(l->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
        if (!is_served(st.st_mode))
            skipped(m, path, type_name(st.st_mode));
        clean = is_served(st.st_mode) ? row && row_matches(row, &st) && !racy(row) : !row;
    }
    if (!clean)
        scan_queue_push(m->folder->scan_queue, path,
                        SCAN_DEEP | SCAN_FOUND | (l->flags & SCAN_FULL), 0);
}

/* Returns 0 or a database error. */
static int merge(struct listing *l, struct db *db, const struct strlist *disk)
{
    sqlite3_stmt *st = tree_children(db, l->dir);
    struct row row = {0};
    const char *name = NULL;
    size_t i = 0;
    int r = db_step(db, st);

    while (r >= 0 && (r == 1 || i < disk->n)) {
        int c;

        if (r == 1)
            tree_child(st, &row, &name);
        c = r == 0 ? -1 : i >= disk->n ? 1 : strcmp(disk->v[i], name);
        if (c > 0)
            scan_queue_push(l->m->folder->scan_queue, child_path(l, name),
                            SCAN_FOUND | (l->flags & SCAN_FULL), 0);
        else
            examine_child(l, disk->v[i], c == 0 ? &row : NULL);
        i += c <= 0;
        if (c >= 0)
            r = db_step(db, st);
    }
    return r;
}

static void examine_children(const struct dir_look *k, struct db *db)
{
    struct listing *l = xcalloc(1, sizeof(*l));
    struct strlist disk = {0};
    struct master *m = k->m;
    const char *dir = k->dir;
    bool others;
    int r;

    l->m = m;
    l->dir = dir;
    l->flags = k->flags;
    l->prefix = (size_t)snprintf(l->path, sizeof(l->path), *dir ? "%s/" : "%s", dir);
    l->fd = open_dir(m, dir);
    r = l->fd < 0 ? l->fd : list_dir(l->fd, &disk, &others);
    if (r == 0) {
        notices_clear(m->notices, NOTICE_UNREADABLE, dir);
        look_alike(m, dir, &disk);
        look_hidden(k, &disk, others);
        r = merge(l, db, &disk);
    } else if (r != -ENOENT && r != -ENOTDIR && r != -ELOOP) {
        unreadable(m, dir, -r);
    }
    if (r < 0)
        scan_queue_push(m->folder->scan_queue, dir, SCAN_DEEP | SCAN_FOUND,
                        r == -EACCES ? 60000 : 5000);
    strlist_release(&disk);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

static void examine_dir(struct master *m, struct db *db, const char *path, const struct stat *st,
                        const struct row *row, int flags)
{
    bool live = row->e.type == ENTRY_DIR, told = !(flags & (SCAN_FULL | SCAN_FOUND));
    struct dir_look look = {m, path, st, row, flags};

    notices_clear_path(m->notices, path, false);
    /* After an event also as the row has it: the committer may just be writing another mode. */
    if (*path && (!live || told || row->e.mode != (st->st_mode & 07777) ||
                  row->e.mtime != file_mtime_ns(st)))
        observed(m, path, st, false, NULL, NULL, clock_wall_ns());
    if (!live || (flags & SCAN_DEEP)) {
        volume_see(m->folder, path);
        watch_add(m->watch, path);
        examine_children(&look, db);
    } else if (flags & (SCAN_COLLISIONS | SCAN_HIDDEN)) {
        examine_names(&look);
    }
}

static bool push_link(void *arg, const struct row *row)
{
    scan_queue_push(((struct master *)arg)->folder->scan_queue, row->e.path, SCAN_FOUND, 0);
    return false;
}

/* A file with several names has changed: only the folder of the name that was used had an event. */
static void push_links(struct master *m, struct db *db, int64_t ino)
{
    struct row row = {0};

    tree_find_inode(db, ino, push_link, m, &row);
}

/* The committer may be writing its row just now, so it also gets paths without a row. */
static void examine_gone(struct master *m, const char *path, mode_t other)
{
    if (!other || is_served(other) || visible_hides(m->folder, path)) {
        notices_clear_path(m->notices, path, true);
    } else if (skipped(m, path, type_name(other))) {
        char *dir = path_parent(path);

        scan_queue_push(m->folder->scan_queue, dir, SCAN_HIDDEN | SCAN_FOUND, 0);
        free(dir);
    }
    if (*path)
        observed(m, path, NULL, true, NULL, NULL, 0);
}

/* What `row` has is at `now` by now, and will be published there soon. */
static bool comes_at(struct master *m, struct db *db, const struct row *row, const char *now)
{
    struct row there = {0};
    struct stat st;
    bool is_it, known;

    if (visible_lstat(m->folder, now, &st) < 0 || (int64_t)st.st_ino != row->ino ||
        notices_age(m->notices, NOTICE_OPEN, now) > 0 ||
        notices_age(m->notices, NOTICE_UNREADABLE, now) > 0)
        return false;
    is_it = S_ISDIR(st.st_mode) ? row->e.type == ENTRY_DIR
                                : row->e.type == ENTRY_FILE && row->e.size == st.st_size &&
                                      row->e.mtime == file_mtime_ns(&st);
    known = tree_get(db, now, &there) != 0 && there.e.type != ENTRY_GONE && there.ino == row->ino;
    row_release(&there);
    return is_it && !known;
}

/* True when the wait at `at` leads to the wait at `path`: names were exchanged, or went round. */
static bool comes_round(struct master *m, struct db *db, const char *at, const char *path, int hops)
{
    struct strlist now = {0};
    struct row row = {0};
    bool round = false;

    if (tree_get(db, at, &row) == 1 && row.e.type != ENTRY_GONE)
        departures_of(m->departures, at, RENAMED_MS, &now);
    for (size_t i = 0; i < now.n && !round; i++)
        round = comes_at(m, db, &row, now.v[i]) &&
                (strcmp(now.v[i], path) == 0 ||
                 (hops > 1 && comes_round(m, db, now.v[i], path, hops - 1)));
    strlist_release(&now);
    row_release(&row);
    return round;
}

/*
 * Another file or folder is at `path` than its row has. What that one is now called is published
 * first: published before, the new one would take the row away by which the rename is known. A
 * scan, which knows of no events, puts such paths off to its end instead. Of a round no name could
 * be the first, so none waits.
 */
static bool waits_for_rename(struct master *m, struct db *db, const char *path,
                             const struct row *row)
{
    struct strlist now = {0};
    bool waits = false;

    departures_of(m->departures, path, RENAMED_MS, &now);
    for (size_t i = 0; i < now.n && !waits; i++)
        waits = comes_at(m, db, row, now.v[i]) && !comes_round(m, db, now.v[i], path, ROUND_MAX);
    strlist_release(&now);
    return waits;
}

void examine(struct master *m, const char *path, int flags)
{
    struct db *db = readers_get(m->readers);
    struct row row = {0};
    struct stat st = {0};
    int r = visible_lstat(m->folder, path, &st); /* first: rows follow the disk */
    bool live, fresh;

    if (!db || tree_get(db, path, &row) < 0) {
        scan_queue_push(m->folder->scan_queue, path, flags & ~SCAN_FULL, 5000);
        goto out;
    }
    live = row.e.type != ENTRY_GONE;
    if (r == 0 && live && *path && (int64_t)st.st_ino != row.ino) {
        if ((flags & (SCAN_FULL | SCAN_LAST)) == SCAN_FULL) {
            scan_queue_put_off(m->folder->scan_queue, path);
            goto out;
        }
        if (waits_for_rename(m, db, path, &row)) {
            scan_queue_push(m->folder->scan_queue, path, flags, RENAMED_AGAIN);
            goto out;
        }
    }
    if (r == -ENOENT) {
        examine_gone(m, path, st.st_mode);
    } else if (r < 0) { /* a volume that comes back is scanned then */
        if (!volume_away(m->folder, path))
            scan_queue_push(m->folder->scan_queue, path, flags & ~SCAN_FULL, 5000);
    } else if (S_ISDIR(st.st_mode)) {
        if (!live && *path)
            find_renamed_folder(m, db, path, &st);
        examine_dir(m, db, path, &st, &row, flags);
    } else {
        notices_clear(m->notices, NOTICE_SKIPPED, path);
        fresh = row_matches(&row, &st);
        if (!fresh && st.st_nlink > 1)
            push_links(m, db, (int64_t)st.st_ino);
        if (S_ISLNK(st.st_mode) && !fresh)
            examine_link(m, path, &st);
        else if (S_ISREG(st.st_mode) && !fresh &&
                 find_renamed_file(m, db, path, &st, flags & SCAN_MOVED))
            ;
        else if (S_ISREG(st.st_mode) && (!fresh || (flags & SCAN_FORCE) || racy(&row)))
            examine_file(m, path, flags);
    }
out:
    row_release(&row);
    readers_put(m->readers, db);
}
