/* SPDX-License-Identifier: MIT */
/*
 * evict: which contents go when the cache is full: of those that neither outbox nor local paths
 * name and that no program has open, first contents that alone exceed the limit, then the least
 * recently used. An open one would take its room until it is closed, with or without its name.
 *
 * Eviction and writing race: a writer publishes an object and only then logs the operation that
 * pins it. So it holds the object from before it is published until the operation is in the log
 * (store_hold). Here the pin is asked for without the lock, the holds are looked at with it, before
 * and after: an object that was held meanwhile stays.
 */
#include <dirent.h>
#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/thread.h"
#include "sync/mirror/store/objects.h"

#define ROOM_MAX  ((int64_t)64 << 20) /* what ENOSPC frees at least … */
#define ROOM_PART 20                  /* … or this part of the limit, if less: a walk is long */

#define VAIN_MS 10000
#define BLOCK   4096 /* what a file takes on disk is a multiple of it */

struct candidate {
    struct hash hash;
    int64_t atime, size;
    dev_t dev;
    ino_t ino;
    bool large; /* alone more than may stay */
    uint64_t held;
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
    c->v[c->n++] =
        (struct candidate){.hash = *h,
                           .atime = (int64_t)st->st_atim.tv_sec * 1000000000 + st->st_atim.tv_nsec,
                           .size = st->st_size,
                           .dev = st->st_dev,
                           .ino = st->st_ino};
}

static int by_use(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->large != y->large)
        return x->large ? -1 : 1;
    return (x->atime > y->atime) - (x->atime < y->atime);
}

/* --- what this process has open --- */

struct file_id {
    dev_t dev;
    ino_t ino;
};

struct opened {
    struct file_id *v;
    size_t n, cap;
};

static int by_id(const void *a, const void *b)
{
    const struct file_id *x = a, *y = b;

    return x->ino != y->ino ? (x->ino > y->ino) - (x->ino < y->ino)
                            : (x->dev > y->dev) - (x->dev < y->dev);
}

static void opened_read(struct opened *o)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    struct stat st;

    while (d && (e = readdir(d))) {
        if (fstat(atoi(e->d_name), &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (o->n == o->cap) {
            o->cap = o->cap ? 2 * o->cap : 256;
            o->v = xrealloc(o->v, o->cap * sizeof(*o->v));
        }
        o->v[o->n++] = (struct file_id){st.st_dev, st.st_ino};
    }
    if (d)
        closedir(d);
    if (o->n > 0)
        qsort(o->v, o->n, sizeof(*o->v), by_id);
}

static bool opened_has(const struct opened *o, dev_t dev, ino_t ino)
{
    const struct file_id id = {dev, ino};

    return o->n > 0 && bsearch(&id, o->v, o->n, sizeof(*o->v), by_id);
}

static void close_idle(struct store *s)
{
    if (s->close_idle)
        s->close_idle(s->close_arg);
}

/* Nobody needs it. *ret_held: what evict_one() compares. */
static bool evictable(struct store *s, const struct hash *h, uint64_t *ret_held)
{
    struct known *k;
    bool idle;

    mutex_lock(&s->lock);
    k = *store_slot(s, h);
    *ret_held = k ? k->held : 0;
    idle = !k || k->holds == 0;
    mutex_unlock(&s->lock);
    return idle && !(s->pinned && s->pinned(s->arg, h));
}

static void evict_one(struct store *s, const struct candidate *c)
{
    struct known *k;

    mutex_lock(&s->lock);
    k = *store_slot(s, &c->hash);
    if (!k || (k->holds == 0 && k->held == c->held))
        store_unlink_locked(s, &c->hash, 0);
    mutex_unlock(&s->lock);
}

/*
 * Evicts until at most `keep` bytes are used and `wish` bytes of the disk were freed. Where all
 * that could go frees less than `must`, others fill the disk and nothing goes for its sake: the
 * writer is refused in either case, but what is here can still be read.
 */
static void evict(struct store *s, int64_t keep, int64_t must, int64_t wish)
{
    struct candidates c = {0};
    struct opened open = {0};
    int64_t used, freed = 0;
    size_t n = 0, n_keep = 0;

    mutex_lock(&s->evict_lock);
    (void)store_each(s, add_candidate, &c); /* what cannot be listed stays */
    close_idle(s);
    opened_read(&open);
    for (size_t i = 0; i < c.n; i++)
        c.v[i].large = c.v[i].size > keep;
    if (c.n > 0)
        qsort(c.v, c.n, sizeof(*c.v), by_use);
    mutex_lock(&s->lock);
    used = s->used;
    mutex_unlock(&s->lock);
    for (size_t i = 0; i < c.n && (used > keep || freed < wish); i++) {
        if (opened_has(&open, c.v[i].dev, c.v[i].ino) || !evictable(s, &c.v[i].hash, &c.v[i].held))
            continue;
        c.v[n] = c.v[i];
        if (used > keep)
            n_keep = n + 1;
        used -= c.v[n].size;
        freed += (c.v[n++].size + BLOCK - 1) / BLOCK * BLOCK;
    }
    if (freed < must)
        n = n_keep;
    for (size_t i = 0; i < n; i++)
        evict_one(s, &c.v[i]);
    if (n > 0)
        close_idle(s); /* one that was used meanwhile would keep its blocks */
    free(c.v);
    free(open.v);
    mutex_unlock(&s->evict_lock);
}

void store_make_room(struct store *s, int64_t need)
{
    int64_t least = s->limit / ROOM_PART < ROOM_MAX ? s->limit / ROOM_PART : ROOM_MAX;

    evict(s, INT64_MAX, need, need > least ? need : least);
}

void store_explain(struct store *s, int64_t *open_bytes, int64_t *pinned_bytes)
{
    struct candidates c = {0};
    struct opened open = {0};

    *open_bytes = *pinned_bytes = 0;
    (void)store_each(s, add_candidate, &c);
    close_idle(s);
    opened_read(&open);
    for (size_t i = 0; i < c.n; i++) {
        if (s->pinned && s->pinned(s->arg, &c.v[i].hash))
            *pinned_bytes += c.v[i].size;
        else if (opened_has(&open, c.v[i].dev, c.v[i].ino))
            *open_bytes += c.v[i].size;
    }
    free(c.v);
    free(open.v);
}

/* What cannot go now is not walked through again and again. */
static bool is_vain(struct store *s, int64_t used)
{
    int64_t now = clock_mono_ms();
    bool vain = s->vain_used == used && now < s->vain_until;

    s->vain_used = used;
    if (!vain)
        s->vain_until = now + VAIN_MS;
    return vain;
}

void store_evict(struct store *s)
{
    int64_t reserve, now = store_free_bytes(s, &reserve), used;

    store_count(s);
    mutex_lock(&s->lock);
    used = s->used;
    mutex_unlock(&s->lock);
    if (used > s->limit && !is_vain(s, used))
        evict(s, s->limit / 10 * 9, reserve - now, reserve - now);
    else if (used <= s->limit && now < reserve)
        evict(s, INT64_MAX, reserve - now, reserve - now);
}

int64_t store_room(struct store *s)
{
    int64_t used, limit, fs_free, reserve, left;

    store_usage(s, &used, &limit, &fs_free);
    store_free_bytes(s, &reserve);
    left = limit / 10 * 9 - used;
    return left < fs_free - 2 * reserve ? left : fs_free - 2 * reserve;
}
