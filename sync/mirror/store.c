/* SPDX-License-Identifier: MIT */
/*
 * store: objects by hash and staging files, with a table in memory of what was verified.
 *
 * Eviction and use race: a writer publishes an object and only then logs the operation that pins
 * it. So an object that was published within the last GRACE_MS stays, whatever the pin says; rename
 * and unlink of objects happen under the lock, the question for the pin before it.
 */
#include "sync/mirror/store_admin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"

#define BUCKETS      4096
#define GRACE_MS     30000
#define TOUCH_MS     (3600 * 1000)      /* atime at most once per hour */
#define STAGE_ROOM   (1024 * 1024)      /* what one staging file asks for after ENOSPC */
#define RESERVE_MAX  ((int64_t)1 << 30) /* free bytes to keep on the filesystem … */
#define RESERVE_PART 20                 /* … or this part of it, if less */
#define OBJECT_CAP   80                 /* "objects/ab/" and 62 digits */

/* What is known of one object. */
struct known {
    struct known *next;
    struct hash hash;
    bool verified; /* while the four below are the file's */
    ino_t ino;
    off_t size;
    int64_t mtime, ctime;
    int64_t touched_ms;   /* 0: not in this process */
    int64_t published_ms; /* 0: not in this process */
};

struct store {
    int dir; /* the cache */
    int staging;
    int64_t limit;
    store_pinned_fn *pinned;
    void *arg;

    pthread_mutex_t lock; /* the two below; rename, unlink and utimes of objects */
    int64_t used;         /* bytes of all objects */
    struct known *table[BUCKETS];

    pthread_mutex_t evict_lock; /* one eviction at a time; taken before lock */
};

static const char *object_path(const struct hash *h, char *out)
{
    struct buf hex = BUF_INIT;

    hex_encode(&hex, h->b, HASH_BYTES);
    snprintf(out, OBJECT_CAP, "objects/%.2s/%s", hex.data, hex.data + 2);
    buf_release(&hex);
    return out;
}

static struct known **slot(struct store *s, const struct hash *h)
{
    struct known **k = &s->table[(h->b[0] << 8 | h->b[1]) % BUCKETS];

    while (*k && !hash_eq(&(*k)->hash, h))
        k = &(*k)->next;
    return k;
}

static struct known *know_locked(struct store *s, const struct hash *h)
{
    struct known **k = slot(s, h);

    if (!*k) {
        *k = xcalloc(1, sizeof(**k));
        (*k)->hash = *h;
    }
    return *k;
}

static void forget_locked(struct store *s, const struct hash *h)
{
    struct known **k = slot(s, h), *dead = *k;

    if (dead) {
        *k = dead->next;
        free(dead);
    }
}

static void set_verified(struct known *k, const struct stat *st)
{
    k->verified = true;
    k->ino = st->st_ino;
    k->size = st->st_size;
    k->mtime = file_mtime_ns(st);
    k->ctime = file_ctime_ns(st);
}

static bool is_verified(const struct known *k, const struct stat *st)
{
    return k->verified && k->ino == st->st_ino && k->size == st->st_size &&
           k->mtime == file_mtime_ns(st) && k->ctime == file_ctime_ns(st);
}

/* Removes an object if it is still the file with that inode (0: any). */
static bool unlink_locked(struct store *s, const struct hash *h, ino_t ino)
{
    char path[OBJECT_CAP];
    struct stat st;

    object_path(h, path);
    if (fstatat(s->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || (ino && st.st_ino != ino) ||
        unlinkat(s->dir, path, 0) < 0)
        return false;
    s->used -= st.st_size;
    forget_locked(s, h);
    return true;
}

static void throw_away(struct store *s, const struct hash *h, ino_t ino)
{
    mutex_lock(&s->lock);
    unlink_locked(s, h, ino);
    mutex_unlock(&s->lock);
}

/* --- reading --- */

bool store_has(struct store *s, const struct hash *h, int64_t size)
{
    char path[OBJECT_CAP];
    struct stat st;

    return fstatat(s->dir, object_path(h, path), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode) && st.st_size == size;
}

/* Notes the use; the ctime that this changes is noted with it. */
static void touch_locked(struct known *k, int fd)
{
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    int64_t now = clock_mono_ms();
    struct stat st;

    if (k->touched_ms && now - k->touched_ms < TOUCH_MS)
        return;
    k->touched_ms = now ? now : 1;
    if (futimens(fd, times) == 0 && fstat(fd, &st) == 0)
        set_verified(k, &st);
}

/* 1: verified before and unchanged. */
static bool known_good(struct store *s, const struct hash *h, int fd)
{
    struct known *k;
    struct stat st;
    bool good;

    mutex_lock(&s->lock);
    k = *slot(s, h);
    good = k && fstat(fd, &st) == 0 && is_verified(k, &st);
    if (good)
        touch_locked(k, fd);
    mutex_unlock(&s->lock);
    return good;
}

static int verify_fd(struct store *s, const struct hash *h, int fd)
{
    struct stat before, after;
    struct hash real;
    struct known *k;
    int r;

    if (fstat(fd, &before) < 0)
        return -errno;
    r = hash_fd(fd, &real, NULL);
    if (r == -EIO || (r == 0 && !hash_eq(&real, h))) {
        throw_away(s, h, before.st_ino);
        return -ENOENT;
    }
    if (r < 0)
        return r;
    mutex_lock(&s->lock);
    /* Another thread's touch may have changed the ctime meanwhile; only the content's marks count.
     */
    if (fstat(fd, &after) == 0 && after.st_nlink > 0 && after.st_size == before.st_size &&
        file_mtime_ns(&after) == file_mtime_ns(&before)) {
        k = know_locked(s, h);
        set_verified(k, &after);
        touch_locked(k, fd);
    }
    mutex_unlock(&s->lock);
    return 0;
}

int store_open(struct store *s, const struct hash *h, int64_t size, int64_t verify_max)
{
    char path[OBJECT_CAP];
    struct stat st;
    int r = 0, fd = openat(s->dir, object_path(h, path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        r = -errno;
    } else if (!S_ISREG(st.st_mode) || st.st_size != size) {
        throw_away(s, h, st.st_ino);
        r = -ENOENT;
    } else if (!known_good(s, h, fd)) {
        r = size > verify_max ? -EAGAIN : verify_fd(s, h, fd);
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
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
        int r = -errno;
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
        return -errno;
    r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

/* fsync of the folder that holds an object, and of "objects", where that folder may be new. */
static int sync_folders(struct store *s, const char *path)
{
    char folder[OBJECT_CAP];
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
        r = -errno;
    } else if (fstatat(s->dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        s->used += st.st_size - old.st_size;
        k = know_locked(s, h);
        set_verified(k, &st);
        k->published_ms = clock_mono_ms();
        if (!k->published_ms)
            k->published_ms = 1;
        k->touched_ms = k->published_ms;
    }
    mutex_unlock(&s->lock);
    return r;
}

int store_publish(struct store *s, const char *name, const struct hash *h, bool durable)
{
    char path[OBJECT_CAP], folder[OBJECT_CAP];
    int r;

    object_path(h, path);
    if (fchmodat(s->staging, name, 0400, 0) < 0)
        return -errno;
    if (durable && (r = sync_path(s->staging, name)) < 0)
        return r;
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

int store_sync_object(struct store *s, const struct hash *h)
{
    char path[OBJECT_CAP];
    int r = sync_path(s->dir, object_path(h, path));

    return r < 0 ? r : sync_folders(s, path);
}

void store_discard(struct store *s, const char *name)
{
    unlinkat(s->staging, name, 0);
}

/* --- walking --- */

typedef void each_fn(void *arg, const struct hash *h, const struct stat *st);

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(const char *hex, struct hash *ret)
{
    for (size_t i = 0; i < HASH_BYTES; i++) {
        int hi = nibble(hex[2 * i]), lo = hi < 0 ? -1 : nibble(hex[2 * i + 1]);
        if (lo < 0)
            return false;
        ret->b[i] = (uint8_t)(hi << 4 | lo);
    }
    return hex[2 * HASH_BYTES] == '\0';
}

static DIR *open_dir(int dir, const char *path)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d && fd >= 0)
        close(fd);
    return d;
}

static void each_object(struct store *s, each_fn *fn, void *arg)
{
    for (int i = 0; i < 256; i++) {
        char folder[OBJECT_CAP], hex[512];
        struct dirent *e;
        DIR *d;

        snprintf(folder, sizeof(folder), "objects/%02x", i);
        d = open_dir(s->dir, folder);
        while (d && (e = readdir(d))) {
            struct hash h;
            struct stat st;
            snprintf(hex, sizeof(hex), "%02x%s", i, e->d_name);
            if (parse_hex(hex, &h) && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISREG(st.st_mode))
                fn(arg, &h, &st);
        }
        if (d)
            closedir(d);
    }
}

/* Bytes in staging; with `clear` its files are removed. */
static int64_t walk_staging(struct store *s, bool clear)
{
    DIR *d = open_dir(s->dir, "staging");
    int64_t sum = 0;
    struct dirent *e;

    while (d && (e = readdir(d))) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        if (clear)
            unlinkat(dirfd(d), e->d_name, 0);
        else if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            sum += st.st_size;
    }
    if (d)
        closedir(d);
    return sum;
}

/* --- eviction --- */

struct candidate {
    struct hash hash;
    int64_t atime, size;
};

struct candidates {
    struct candidate *v;
    size_t n, cap;
};

static void add_candidate(void *arg, const struct hash *h, const struct stat *st)
{
    struct candidates *c = arg;

    if (c->n == c->cap) {
        c->cap = c->cap ? 2 * c->cap : 1024;
        c->v = xrealloc(c->v, c->cap * sizeof(*c->v));
    }
    c->v[c->n++] = (struct candidate){
        *h, (int64_t)st->st_atim.tv_sec * 1000000000 + st->st_atim.tv_nsec, st->st_size};
}

static int by_atime(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    return (x->atime > y->atime) - (x->atime < y->atime);
}

static int64_t free_bytes(struct store *s, int64_t *reserve)
{
    struct statvfs v;
    int64_t total;

    *reserve = 0;
    if (fstatvfs(s->dir, &v) < 0)
        return INT64_MAX;
    total = (int64_t)v.f_blocks * (int64_t)v.f_frsize;
    *reserve = total / RESERVE_PART < RESERVE_MAX ? total / RESERVE_PART : RESERVE_MAX;
    return (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

static bool evict_one(struct store *s, const struct hash *h)
{
    struct known *k;
    bool done;

    if (s->pinned && s->pinned(s->arg, h))
        return false;
    mutex_lock(&s->lock);
    k = *slot(s, h);
    done = (!k || !k->published_ms || clock_mono_ms() - k->published_ms >= GRACE_MS) &&
           unlink_locked(s, h, 0);
    mutex_unlock(&s->lock);
    return done;
}

/* Evicts until at most `keep` bytes are used and `need` bytes are free. */
static void evict(struct store *s, int64_t keep, int64_t need)
{
    struct candidates c = {0};
    int64_t reserve, used;

    mutex_lock(&s->evict_lock);
    each_object(s, add_candidate, &c);
    if (c.n > 0)
        qsort(c.v, c.n, sizeof(*c.v), by_atime);
    for (size_t i = 0; i < c.n; i++) {
        mutex_lock(&s->lock);
        used = s->used;
        mutex_unlock(&s->lock);
        if (used <= keep && free_bytes(s, &reserve) >= need)
            break;
        evict_one(s, &c.v[i].hash);
    }
    free(c.v);
    mutex_unlock(&s->evict_lock);
}

void store_usage(struct store *s, int64_t *used, int64_t *limit, int64_t *fs_free)
{
    int64_t reserve, staged = walk_staging(s, false);

    mutex_lock(&s->lock);
    *used = s->used + staged;
    mutex_unlock(&s->lock);
    *limit = s->limit;
    *fs_free = free_bytes(s, &reserve);
}

void store_make_room(struct store *s, int64_t need)
{
    evict(s, INT64_MAX, need);
}

void store_evict(struct store *s)
{
    int64_t reserve, room = free_bytes(s, &reserve), used;

    mutex_lock(&s->lock);
    used = s->used;
    mutex_unlock(&s->lock);
    if (used > s->limit)
        evict(s, s->limit / 10 * 9, reserve);
    else if (room < reserve)
        evict(s, INT64_MAX, reserve);
}

/* --- open and close --- */

int store_sync(struct store *s)
{
    return syncfs(s->dir) < 0 ? -errno : 0;
}

static void add_size(void *arg, const struct hash *h, const struct stat *st)
{
    struct store *s = arg;

    (void)h;
    s->used += st->st_size;
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
    walk_staging(s, true);
    each_object(s, add_size, s);
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
    for (size_t i = 0; i < BUCKETS; i++) {
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
