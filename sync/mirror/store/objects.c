/* SPDX-License-Identifier: MIT */
#include "sync/mirror/store/objects.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/encode.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"

#define RESERVE_MAX  ((int64_t)1 << 30) /* free bytes to keep on the filesystem … */
#define RESERVE_PART 20                 /* … or this part of it, if less */

/* --- the table --- */

const char *store_object_path(const struct hash *h, char *out)
{
    struct buf hex = BUF_INIT;

    hex_encode(&hex, h->b, HASH_BYTES);
    snprintf(out, STORE_OBJECT_CAP, "objects/%.2s/%s", hex.data, hex.data + 2);
    buf_release(&hex);
    return out;
}

struct known **store_slot(struct store *s, const struct hash *h)
{
    struct known **k = &s->table[(h->b[0] << 8 | h->b[1]) % STORE_BUCKETS];

    while (*k && !hash_eq(&(*k)->hash, h))
        k = &(*k)->next;
    return k;
}

struct known *store_know_locked(struct store *s, const struct hash *h)
{
    struct known **k = store_slot(s, h);

    if (!*k) {
        *k = xcalloc(1, sizeof(**k));
        (*k)->hash = *h;
    }
    return *k;
}

static void forget_locked(struct store *s, const struct hash *h)
{
    struct known **k = store_slot(s, h), *dead = *k;

    if (dead && dead->holds > 0) {
        dead->verified = false;
    } else if (dead) {
        *k = dead->next;
        free(dead);
    }
}

bool store_unlink_locked(struct store *s, const struct hash *h, ino_t ino)
{
    char path[STORE_OBJECT_CAP];
    struct stat st;

    store_object_path(h, path);
    if (fstatat(s->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || (ino && st.st_ino != ino) ||
        unlinkat(s->dir, path, 0) < 0)
        return false;
    s->used -= st.st_size;
    forget_locked(s, h);
    return true;
}

/* --- the disk --- */

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

static int each_in(struct store *s, int i, store_each_fn *fn, void *arg)
{
    char folder[STORE_OBJECT_CAP], hex[512];
    struct dirent *e;
    DIR *d;
    int r = 0;

    snprintf(folder, sizeof(folder), "objects/%02x", i);
    d = open_dir(s->dir, folder);
    if (!d)
        return errno == ENOENT ? 0 : trouble_at(-errno, s->dir, folder);
    while ((errno = 0, e = readdir(d))) {
        struct hash h;
        struct stat st;

        snprintf(hex, sizeof(hex), "%02x%s", i, e->d_name);
        if (!parse_hex(hex, &h))
            continue;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            r = errno == ENOENT ? r : trouble_at(-errno, dirfd(d), e->d_name);
        else if (S_ISREG(st.st_mode))
            fn(arg, &h, &st);
    }
    if (errno)
        r = trouble_at(-errno, s->dir, folder);
    closedir(d);
    return r;
}

int store_each(struct store *s, store_each_fn *fn, void *arg)
{
    int r = 0;

    for (int i = 0; i < 256; i++) {
        int r2 = each_in(s, i, fn, arg);

        r = r2 < 0 ? r2 : r;
    }
    return r;
}

static void add_size(void *arg, const struct hash *h, const struct stat *st)
{
    int64_t *sum = arg;

    (void)h;
    *sum += st->st_size;
}

void store_count(struct store *s)
{
    int64_t sum = 0, before;
    bool counted;
    int r;

    mutex_lock(&s->lock);
    before = s->used;
    counted = s->counted;
    mutex_unlock(&s->lock);
    if (counted)
        return;
    r = store_each(s, add_size, &sum);
    mutex_lock(&s->lock);
    s->used += sum - before; /* what came or went meanwhile stays counted */
    s->counted = r == 0;
    mutex_unlock(&s->lock);
}

static int64_t staging_bytes(struct store *s)
{
    DIR *d = open_dir(s->dir, "staging");
    int64_t sum = 0;
    struct dirent *e;

    while (d && (e = readdir(d))) {
        struct stat st;
        if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            sum += st.st_size;
    }
    if (d)
        closedir(d);
    return sum;
}

int64_t store_free_bytes(struct store *s, int64_t *reserve)
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

void store_usage(struct store *s, int64_t *used, int64_t *limit, int64_t *fs_free)
{
    int64_t reserve, staged = staging_bytes(s);

    mutex_lock(&s->lock);
    *used = s->used + staged;
    mutex_unlock(&s->lock);
    *limit = s->limit;
    *fs_free = store_free_bytes(s, &reserve);
}
