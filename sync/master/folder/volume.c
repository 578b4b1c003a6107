/* SPDX-License-Identifier: MIT */
/*
 * Two folders lie on one filesystem, as far as renames go, when device and mount are the same: a
 * bind mount has its device in common with the rest, a subvolume its mount.
 */
#include "sync/master/folder/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/db/registry.h"
#include "sync/master/db/schema.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/carry.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/private_dir.h"

#define LIST     "volumes"
#define LIST_MAX (1 << 20)

struct volumes {
    struct folder *folder;
    pthread_mutex_t lock; /* guards the rest */
    struct strlist tops;
    int generation;      /* of the root that the list is of */
    struct strlist away; /* at the last look */
    bool changed;        /* the list may differ from the one that mirrors have */
    bool failed;         /* to tell them, and that was logged */
};

struct place {
    unsigned major, minor;
    uint64_t mount;
};

/* Of `path` below dirfd ("": dirfd itself). 0 or -errno. */
static int place_of(int dirfd, const char *path, struct place *ret)
{
    struct statx st;

    if (statx(dirfd, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_TYPE | STATX_MNT_ID, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.stx_mode))
        return -ENOTDIR;
    *ret = (struct place){st.stx_dev_major, st.stx_dev_minor,
                          st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0};
    return 0;
}

static bool same(const struct place *a, const struct place *b)
{
    return a->major == b->major && a->minor == b->minor && a->mount == b->mount;
}

/* --- the list --- */

static bool has(const struct strlist *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], s) == 0)
            return true;
    return false;
}

static void load_locked(struct volumes *v)
{
    struct buf b = BUF_INIT;
    char *at, *line, *path;

    strlist_release(&v->tops);
    v->changed = true;
    if (file_slurp(root_private_fd(v->folder->root), LIST, LIST_MAX, &b) == 0 && b.len > 0)
        for (at = b.data; (line = strsep(&at, "\n"));)
            if (*line && path_decode(line, &path) == 0) {
                strlist_add(&v->tops, path);
                free(path);
            }
    buf_release(&b);
}

static void save_locked(struct volumes *v)
{
    struct buf b = BUF_INIT;
    int r;

    v->changed = true;
    buf_puts(&b, "");
    for (size_t i = 0; i < v->tops.n; i++) {
        path_encode(&b, v->tops.v[i]);
        buf_putc(&b, '\n');
    }
    r = file_replace(root_private_fd(v->folder->root), LIST, b.data, b.len, 0600, true);
    if (r < 0)
        log_error("cannot record the filesystems below '%s': %s", root_path(v->folder->root),
                  strerror(-r));
    buf_release(&b);
}

struct volumes *volumes_new(struct folder *f)
{
    struct volumes *v = xcalloc(1, sizeof(*v));

    v->folder = f;
    v->generation = -1;
    mutex_init(&v->lock);
    return v;
}

void volumes_free(struct volumes *v)
{
    if (!v)
        return;
    strlist_release(&v->tops);
    strlist_release(&v->away);
    mutex_destroy(&v->lock);
    free(v);
}

static void copy_locked(struct volumes *v, struct strlist *ret)
{
    for (size_t i = 0; i < v->tops.n; i++)
        strlist_add(ret, v->tops.v[i]);
}

void volumes_list(struct volumes *v, struct strlist *ret)
{
    mutex_lock(&v->lock);
    copy_locked(v, ret);
    mutex_unlock(&v->lock);
}

void volumes_tell(struct volumes *v)
{
    struct strlist tops = {0};
    struct db *db = NULL;
    struct err e;
    bool changed;
    int r = 0;

    mutex_lock(&v->lock);
    changed = v->changed;
    v->changed = false;
    if (changed)
        copy_locked(v, &tops);
    mutex_unlock(&v->lock);
    if (!changed)
        return;
    r = schema_open(v->folder->db_path, 0, &db, &e);
    if (r == 0)
        r = registry_volumes(db, &tops, &e);
    db_close(db);
    strlist_release(&tops);
    if (r < 0 && !v->failed)
        log_error("cannot announce the filesystems below the folder to the mirrors: %s", e.text);
    v->failed = r < 0;
    if (r == 0)
        return;
    mutex_lock(&v->lock);
    v->changed = true; /* tried again at the next look */
    mutex_unlock(&v->lock);
}

/* --- which --- */

bool volume_is_below(const struct folder *f, const char *path)
{
    struct volumes *v = f->volumes;
    bool below = false;

    if (!v)
        return false;
    mutex_lock(&v->lock);
    for (size_t i = 0; i < v->tops.n && !below; i++)
        below = strcmp(v->tops.v[i], path) != 0 && path_is_under(v->tops.v[i], path);
    mutex_unlock(&v->lock);
    return below;
}

bool volume_is_top(const struct folder *f, const char *path)
{
    char *parent = path_parent(path);
    struct place here, above;
    bool is = *path && place_of(root_fd(f->root), path, &here) == 0 &&
              place_of(root_fd(f->root), parent, &above) == 0 && !same(&here, &above);

    free(parent);
    return is;
}

char *volume_top(const struct folder *f, const char *path)
{
    char *dir = xstrdup(path), *next;
    struct place root, here, above;
    int r;

    if (place_of(root_fd(f->root), "", &root) < 0) {
        free(dir);
        return NULL;
    }
    while ((r = place_of(root_fd(f->root), dir, &here)) < 0 && *dir) {
        next = path_parent(dir);
        free(dir);
        dir = next;
    }
    while (r == 0 && *dir && !same(&here, &root)) {
        next = path_parent(dir);
        r = place_of(root_fd(f->root), next, &above);
        if (r < 0 || !same(&here, &above)) {
            free(next);
            return dir;
        }
        free(dir);
        dir = next;
    }
    free(dir);
    return xstrdup("");
}

bool volume_away(const struct folder *f, const char *path)
{
    struct volumes *v = f->volumes;
    bool away = false;

    if (!v)
        return false;
    mutex_lock(&v->lock);
    for (size_t i = 0; i < v->tops.n && !away; i++)
        away = path_is_under(path, v->tops.v[i]) && !volume_is_top(f, v->tops.v[i]);
    mutex_unlock(&v->lock);
    return away;
}

void volume_see(struct folder *f, const char *dir)
{
    struct volumes *v = f->volumes;
    struct place root, here;
    char *top, *text;

    if (!v || !*dir || place_of(root_fd(f->root), "", &root) < 0 ||
        place_of(root_fd(f->root), dir, &here) < 0 || same(&root, &here))
        return;
    top = volume_top(f, dir);
    mutex_lock(&v->lock);
    if (top && *top && !has(&v->tops, top)) {
        text = path_encoded(top);
        log_info("'%s' is a filesystem of its own: it gets its own staging folder, and nothing in "
                 "it counts as deleted while it is not mounted",
                 text);
        free(text);
        strlist_add(&v->tops, top);
        save_locked(v);
    }
    mutex_unlock(&v->lock);
    free(top);
}

/* --- staging --- */

static int open_staging(const struct folder *f, const char *top)
{
    int dir = path_open_beneath(root_fd(f->root), top, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int private = dir < 0 ? dir : private_dir_open(dir, NULL), fd = private;
    struct stat st;

    if (private >= 0) {
        /* Who could put something else there could have files written anywhere. */
        if (fstat(private, &st) < 0)
            fd = -errno;
        else if (st.st_uid != geteuid() || (st.st_mode & 022))
            fd = -EPERM;
        else if (mkdirat(private, "staging", 0700) < 0 && errno != EEXIST)
            fd = -errno;
        else
            fd = openat(private, "staging", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        fd = fd == -1 ? -errno : fd;
        close(private);
    }
    if (dir >= 0)
        close(dir);
    return fd;
}

int volume_enter_top(struct folder *f, const char *top)
{
    int fd;

    volume_leave(f);
    if (!*top)
        return 0;
    if (volume_away(f, top))
        return -ESTALE;
    fd = open_staging(f, top);
    if (fd < 0)
        return fd;
    root_use_staging(f->root, fd);
    return 0;
}

/* The folder of --conflicts itself: files staged there get their names by a rename. */
static int enter_conflicts(struct folder *f)
{
    int r = file_mkdirs(f->conflicts, 0750);
    int fd = r < 0 ? r : open(f->conflicts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return r < 0 ? r : -errno;
    root_use_staging(f->root, fd);
    return 0;
}

int volume_enter(struct folder *f, const char *path)
{
    char *top;
    int r;

    volume_leave(f);
    if (!path)
        return enter_conflicts(f);
    if (volume_away(f, path))
        return -ESTALE;
    top = volume_top(f, path);
    if (!top)
        return -ESTALE;
    if (*top)
        volume_see(f, top);
    r = volume_enter_top(f, top);
    free(top);
    return r;
}

void volume_leave(struct folder *f)
{
    int fd = root_use_staging(f->root, -1);

    if (fd >= 0)
        close(fd);
}

int volume_carry(struct folder *f, const char *tmp, const char *path)
{
    struct stat before, after, st;
    int old = fcntl(root_staging_fd(f->root), F_DUPFD_CLOEXEC, 0), from = -1, to = -1;
    int r = old < 0 ? -errno : volume_enter(f, path), now = root_staging_fd(f->root);

    if (r == 0 && (fstat(old, &before) < 0 || fstat(now, &after) < 0))
        r = -errno;
    if (r < 0 || (before.st_dev == after.st_dev && before.st_ino == after.st_ino))
        goto out;
    if (renameat(old, tmp, now, tmp) == 0)
        goto out;
    from = openat(old, tmp, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from >= 0 && fstat(from, &st) == 0 && st.st_size > CARRY_AT_ONCE)
        r = -EAGAIN;
    else if (from >= 0)
        to = openat(now, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (r == 0)
        r = to < 0 ? -errno : file_copy(from, to);
    unlinkat(old, tmp, 0);
    if (r < 0 && to >= 0)
        unlinkat(now, tmp, 0);
out:
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (old >= 0)
        close(old);
    return r;
}

/* --- all of them --- */

int volumes_each(struct folder *f, int (*fn)(struct folder *f, const char *top, void *arg),
                 void *arg)
{
    struct volumes *v = f->volumes;
    struct strlist tops = {0};
    int r = fn(f, "", arg);

    volumes_list(v, &tops);
    for (size_t i = 0; i < tops.n && r == 0; i++) {
        if (volume_enter_top(f, tops.v[i]) == 0)
            r = fn(f, tops.v[i], arg);
        volume_leave(f);
    }
    strlist_release(&tops);
    return r;
}

static void report(struct volumes *v, const char *top, bool away)
{
    char *text = path_encoded(top);

    if (away)
        log_error("the filesystem of '%s' is not mounted: nothing in it is published until it is "
                  "back; if it is gone for good: eefs-master confirm",
                  text);
    else
        log_info("the filesystem of '%s' is back", text);
    free(text);
    if (!away && v->folder->scan_queue)
        scan_queue_push(v->folder->scan_queue, top, SCAN_DEEP, 0);
}

void volumes_look(struct volumes *v)
{
    struct strlist away = {0};
    struct folder *f = v->folder;

    mutex_lock(&v->lock);
    if (v->generation != root_generation(f->root)) {
        v->generation = root_generation(f->root);
        load_locked(v);
    }
    for (size_t i = 0; i < v->tops.n; i++)
        if (!volume_is_top(f, v->tops.v[i]))
            strlist_add(&away, v->tops.v[i]);
    for (size_t i = 0; i < v->tops.n; i++)
        if (has(&away, v->tops.v[i]) != has(&v->away, v->tops.v[i]))
            report(v, v->tops.v[i], has(&away, v->tops.v[i]));
    strlist_release(&v->away);
    v->away = away;
    mutex_unlock(&v->lock);
}

int volumes_away(struct volumes *v, char *why, size_t cap)
{
    char *text;
    int n;

    mutex_lock(&v->lock);
    n = (int)v->away.n;
    if (n > 0) {
        text = path_encoded(v->away.v[0]);
        snprintf(
            why, cap,
            "the filesystem of '%.200s' is not mounted: nothing in it is published or accepted",
            text);
        free(text);
    }
    mutex_unlock(&v->lock);
    return n;
}

int volumes_forget_away(struct volumes *v)
{
    struct strlist kept = {0};
    int n;

    mutex_lock(&v->lock);
    for (size_t i = 0; i < v->tops.n; i++)
        if (!has(&v->away, v->tops.v[i]))
            strlist_add(&kept, v->tops.v[i]);
        else if (v->folder->scan_queue)
            scan_queue_push(v->folder->scan_queue, v->tops.v[i], SCAN_DEEP, 0);
    n = (int)v->away.n;
    strlist_release(&v->tops);
    strlist_release(&v->away);
    v->tops = kept;
    if (n > 0)
        save_locked(v);
    mutex_unlock(&v->lock);
    return n;
}
