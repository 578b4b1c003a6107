/* SPDX-License-Identifier: MIT */
/*
 * store: objects are verified, read, published and held. The table and the walks over the disk are
 * in objects.c; evict.c decides which objects may go.
 */
#include "sync/mirror/store/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"

#define TOUCH_MS   (3600 * 1000) /* atime at most once per hour */
#define STAGE_ROOM (1024 * 1024) /* what one staging file asks for after ENOSPC */
#define PATH_XATTR "user.eefs.path"

static void set_verified(struct known *k, const struct stat *st)
{
    k->verified = true;
    k->stamp.ino = st->st_ino;
    k->stamp.size = st->st_size;
    k->stamp.mtime = file_mtime_ns(st);
    k->stamp.ctime = file_ctime_ns(st);
}

static bool fits(const struct store_stamp *stamp, const struct stat *st)
{
    return stamp->ino == st->st_ino && stamp->size == st->st_size &&
           stamp->mtime == file_mtime_ns(st) && stamp->ctime == file_ctime_ns(st);
}

static bool is_verified(const struct known *k, const struct stat *st)
{
    return k->verified && fits(&k->stamp, st);
}

static bool is_touch_due(const struct store_stamp *stamp, int64_t now)
{
    return !stamp->touched_ms || now - stamp->touched_ms >= TOUCH_MS;
}

/* A damaged object is removed, unless it may be the only copy of what was written here. */
static void throw_away(struct store *s, const struct hash *h, ino_t ino)
{
    if (s->pinned && s->pinned(s->arg, h))
        return;
    mutex_lock(&s->lock);
    store_unlink_locked(s, h, ino);
    mutex_unlock(&s->lock);
}

/* --- reading --- */

int store_look(struct store *s, const struct hash *h, int64_t size)
{
    char path[STORE_OBJECT_CAP];
    struct stat st;

    if (fstatat(s->dir, store_object_path(h, path), &st, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISREG(st.st_mode) && st.st_size == size;
    return errno == ENOENT ? 0 : trouble_at(-errno, s->dir, path);
}

bool store_has(struct store *s, const struct hash *h, int64_t size)
{
    return store_look(s, h, size) == 1;
}

int64_t store_blocks(struct store *s, const struct hash *h)
{
    char path[STORE_OBJECT_CAP];
    struct stat st;

    return fstatat(s->dir, store_object_path(h, path), &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_blocks
                                                                                      : -1;
}

/* Notes the use; the ctime that this changes is noted with it. */
static void touch_locked(struct known *k, int fd)
{
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    int64_t now = clock_mono_ms();
    struct stat st;

    if (!is_touch_due(&k->stamp, now))
        return;
    k->stamp.touched_ms = now | 1;
    if (futimens(fd, times) == 0 && fstat(fd, &st) == 0)
        set_verified(k, &st);
}

/* True when it was verified before and is unchanged. */
static bool known_good(struct store *s, const struct hash *h, int fd, struct store_stamp *ret)
{
    struct known *k;
    struct stat st;
    bool good;

    mutex_lock(&s->lock);
    k = *store_slot(s, h);
    good = k && fstat(fd, &st) == 0 && is_verified(k, &st);
    if (good) {
        touch_locked(k, fd);
        *ret = k->stamp;
    }
    mutex_unlock(&s->lock);
    return good;
}

static int verify_fd(struct store *s, const struct hash *h, int fd, struct store_stamp *ret)
{
    struct stat before, after;
    struct hash real;
    struct known *k;
    int r;

    if (fstat(fd, &before) < 0)
        return -errno;
    r = hash_fd(fd, &real, NULL);
    /* This may be the only copy of a file written here, and the disk may recover. */
    if (r == -EIO && s->pinned && s->pinned(s->arg, h))
        return r;
    if (r == -EIO || (r == 0 && !hash_eq(&real, h))) {
        throw_away(s, h, before.st_ino);
        return -ENOENT;
    }
    if (r < 0)
        return r;
    memset(ret, 0, sizeof(*ret)); /* of no file */
    mutex_lock(&s->lock);
    /* Another thread's touch may have changed the ctime meanwhile; only the content's marks count.
     */
    if (fstat(fd, &after) == 0 && after.st_nlink > 0 && after.st_size == before.st_size &&
        file_mtime_ns(&after) == file_mtime_ns(&before)) {
        k = store_know_locked(s, h);
        set_verified(k, &after);
        touch_locked(k, fd);
        *ret = k->stamp;
    }
    mutex_unlock(&s->lock);
    return 0;
}

int store_open_stamped(struct store *s, const struct hash *h, int64_t size, int64_t verify_max,
                       struct store_stamp *ret)
{
    char path[STORE_OBJECT_CAP];
    struct stat st;
    int r = 0, fd = openat(s->dir, store_object_path(h, path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return trouble_at(-errno, s->dir, path);
    if (fstat(fd, &st) < 0) {
        r = -errno;
    } else if (!S_ISREG(st.st_mode) || st.st_size != size) {
        throw_away(s, h, st.st_ino);
        r = -ENOENT;
    } else if (!known_good(s, h, fd, ret)) {
        r = size > verify_max ? -EAGAIN : verify_fd(s, h, fd, ret);
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

int store_open(struct store *s, const struct hash *h, int64_t size, int64_t verify_max)
{
    struct store_stamp stamp;

    return store_open_stamped(s, h, size, verify_max, &stamp);
}

bool store_unchanged(const struct store_stamp *stamp, int fd)
{
    struct stat st;

    return !is_touch_due(stamp, clock_mono_ms()) && fstat(fd, &st) == 0 && fits(stamp, &st);
}

int store_verify(struct store *s, const struct hash *h, int64_t size)
{
    int fd = store_open(s, h, size, INT64_MAX);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* --- staging and publishing --- */

static int stage_once(struct store *s, char **name)
{
    uint8_t raw[16];
    struct buf hex = BUF_INIT;
    int fd;

    file_random(raw, sizeof(raw));
    hex_encode(&hex, raw, sizeof(raw));
    fd = openat(s->staging, hex.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        int r = trouble_at(-errno, s->staging, hex.data);
        buf_release(&hex);
        return r;
    }
    *name = buf_detach(&hex);
    return fd;
}

int store_stage(struct store *s, char **name)
{
    int fd = stage_once(s, name);

    if (fd == -ENOSPC) {
        store_make_room(s, STAGE_ROOM);
        fd = stage_once(s, name);
    }
    return fd;
}

static int sync_path(int dir, const char *path)
{
    int r, fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return trouble_at(-errno, dir, path);
    r = fsync(fd) < 0 ? trouble_at(-errno, fd, NULL) : 0;
    close(fd);
    return r;
}

/* fsync of the folder that holds an object, and of "objects", where that folder may be new. */
static int sync_folders(struct store *s, const char *path)
{
    char folder[STORE_OBJECT_CAP];
    int r;

    snprintf(folder, sizeof(folder), "%.10s", path);
    r = sync_path(s->dir, folder);
    return r < 0 ? r : sync_path(s->dir, "objects");
}

/* The rename, its accounts and the mark that the object is good. */
static int install(struct store *s, const char *name, const struct hash *h, const char *path)
{
    struct stat old, st;
    struct known *k;
    int r = 0;

    mutex_lock(&s->lock);
    if (fstatat(s->dir, path, &old, AT_SYMLINK_NOFOLLOW) < 0)
        old.st_size = 0;
    if (renameat(s->staging, name, s->dir, path) < 0) {
        r = trouble_at(-errno, s->dir, path);
    } else if (fstatat(s->dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        s->used += st.st_size - old.st_size;
        k = store_know_locked(s, h);
        set_verified(k, &st);
        k->stamp.touched_ms = clock_mono_ms() | 1;
    }
    mutex_unlock(&s->lock);
    return r;
}

int store_publish(struct store *s, const char *name, const struct hash *h, bool durable)
{
    char path[STORE_OBJECT_CAP], folder[STORE_OBJECT_CAP];
    int r;

    store_object_path(h, path);
    if (fchmodat(s->staging, name, 0400, 0) < 0)
        return -errno;
    if (durable && (r = sync_path(s->staging, name)) < 0)
        return r;
    crash_point("store.publish");
    r = install(s, name, h, path);
    if (r == -ENOENT) {
        snprintf(folder, sizeof(folder), "%.10s", path);
        if (mkdirat(s->dir, folder, 0700) < 0 && errno != EEXIST)
            return -errno;
        r = install(s, name, h, path);
    }
    if (r == 0 && durable)
        r = sync_folders(s, path);
    return r;
}

void store_discard(struct store *s, const char *name)
{
    unlinkat(s->staging, name, 0);
}

void store_hold(struct store *s, const struct hash *h)
{
    struct known *k;

    mutex_lock(&s->lock);
    k = store_know_locked(s, h);
    k->holds++;
    k->held = ++s->last_hold;
    mutex_unlock(&s->lock);
}

void store_let_go(struct store *s, const struct hash *h)
{
    mutex_lock(&s->lock);
    store_know_locked(s, h)->holds--;
    mutex_unlock(&s->lock);
}

void store_on_evict(struct store *s, store_idle_fn *fn, void *arg)
{
    s->close_idle = fn;
    s->close_arg = arg;
}

void store_note_path(int fd, const char *path)
{
    (void)fsetxattr(fd, PATH_XATTR, path, strlen(path), 0);
}

void store_forget_path(struct store *s, const struct hash *h)
{
    char path[STORE_OBJECT_CAP];
    struct known *k;
    struct stat before, st;
    int fd = openat(s->dir, store_object_path(h, path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return;
    mutex_lock(&s->lock); /* the ctime that this changes is noted with it, as in touch_locked() */
    k = *store_slot(s, h);
    if (fstat(fd, &before) == 0 && fremovexattr(fd, PATH_XATTR) == 0 && k &&
        is_verified(k, &before) && fstat(fd, &st) == 0)
        set_verified(k, &st);
    mutex_unlock(&s->lock);
    close(fd);
}

/* --- what bears a path --- */

struct own {
    struct store *s;
    store_own_fn *fn;
    void *arg;
    int error; /* -errno; 0 */
};

static void tell_own(void *arg, const struct hash *h, const struct stat *st)
{
    struct own *o = arg;
    char path[STORE_OBJECT_CAP], noted[EEFS_PATH_MAX + 1];
    int fd = openat(o->s->dir, store_object_path(h, path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fgetxattr(fd, PATH_XATTR, noted, sizeof(noted) - 1);

    if (n < 0 && errno != ENOENT && errno != ENODATA && errno != EOPNOTSUPP)
        o->error = trouble_at(-errno, o->s->dir, path);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return;
    noted[n] = '\0';
    if (path_check(noted) == 0)
        o->fn(o->arg, h, st->st_size, file_mtime_ns(st), noted);
}

int store_each_own(struct store *s, store_own_fn *fn, void *arg)
{
    struct own o = {s, fn, arg, 0};
    int r = store_each(s, tell_own, &o);

    return r < 0 ? r : o.error;
}

/* --- open and close --- */

int store_sync(struct store *s)
{
    return syncfs(s->dir) < 0 ? trouble_at(-errno, s->dir, NULL) : 0;
}

int store_new(const char *cache, int64_t limit, store_pinned_fn *pinned, void *arg,
              struct store **ret, struct err *e)
{
    struct store *s = xcalloc(1, sizeof(*s));
    int r;

    mutex_init(&s->lock);
    mutex_init(&s->evict_lock);
    s->limit = limit;
    s->pinned = pinned;
    s->arg = arg;
    s->staging = -1;
    s->dir = open(cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0) {
        r = err_sys(e, errno, "cannot open the cache folder '%s'", cache);
        goto fail;
    }
    if ((mkdirat(s->dir, "objects", 0700) < 0 && errno != EEXIST) ||
        (mkdirat(s->dir, "staging", 0700) < 0 && errno != EEXIST) ||
        (s->staging = openat(s->dir, "staging", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        r = err_sys(e, errno, "cannot make the folders of the cache '%s'", cache);
        goto fail;
    }
    store_count(s);
    *ret = s;
    return 0;
fail:
    store_free(s);
    return r;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < STORE_BUCKETS; i++) {
        while (s->table[i]) {
            struct known *k = s->table[i];
            s->table[i] = k->next;
            free(k);
        }
    }
    if (s->staging >= 0)
        close(s->staging);
    if (s->dir >= 0)
        close(s->dir);
    mutex_destroy(&s->evict_lock);
    mutex_destroy(&s->lock);
    free(s);
}
