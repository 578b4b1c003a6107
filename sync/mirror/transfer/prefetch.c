/* SPDX-License-Identifier: MIT */
/*
 * prefetch: gets contents before somebody asks, by policy, as long as the cache has room; and the
 * store's housekeeping: eviction and the sync mark.
 */
#include "sync/mirror/transfer/prefetch.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/reserve.h"
#include "sync/mirror/store/store_admin.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/fetch.h"

#define LOOK_MS   5000
#define SYNC_MS   30000
#define QUEUE_MAX 100000 /* wants at once; the next walk brings the rest */

struct prefetch {
    struct mirror *m;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* guards walk */
    pthread_cond_t more;
    bool walk;
    int64_t left; /* bytes that may still be asked for in this walk; thread only */
    size_t n;
};

struct prefetch *prefetch_new(struct mirror *m)
{
    struct prefetch *p = xcalloc(1, sizeof(*p));

    p->m = m;
    p->walk = true;
    mutex_init(&p->lock);
    cond_init(&p->more);
    return p;
}

void prefetch_free(struct prefetch *p)
{
    if (!p)
        return;
    cond_destroy(&p->more);
    mutex_destroy(&p->lock);
    free(p);
}

void prefetch_walk(struct prefetch *p)
{
    mutex_lock(&p->lock);
    p->walk = true;
    cond_signal(&p->more);
    mutex_unlock(&p->lock);
}

bool prefetch_any(struct prefetch *p)
{
    const struct strlist *l = &p->m->cfg.prefetch;

    return !(l->n == 1 && strcmp(l->v[0], "none") == 0);
}

bool prefetch_wants(struct prefetch *p, const char *path)
{
    const struct strlist *l = &p->m->cfg.prefetch;
    size_t i;

    if (l->n == 0)
        return true;
    for (i = 0; i < l->n; i++)
        if (strcmp(l->v[i], "all") == 0 ||
            (strcmp(l->v[i], "none") != 0 && path_matches(l->v[i], path)))
            return true;
    return false;
}

bool prefetch_room(struct prefetch *p)
{
    return store_room(p->m->store) > 0;
}

static int want_one(void *arg, const char *path, const struct hash *h, int64_t size)
{
    struct prefetch *p = arg;

    if (mirror_stopping(p->m))
        return 1;
    if (size > p->left || !prefetch_wants(p, path) || store_has(p->m->store, h, size))
        return 0;
    p->left -= size;
    fetch_want(p->m->fetch, h, size, NULL, NULL);
    return ++p->n >= QUEUE_MAX;
}

static void *prefetch_main(void *arg)
{
    struct prefetch *p = arg;
    int64_t synced = clock_mono_ms();
    bool walk, dirty = false;

    mutex_lock(&p->lock);
    while (!mirror_stopping(p->m)) {
        walk = p->walk && link_is_up(&p->m->link);
        if (walk)
            p->walk = false;
        mutex_unlock(&p->lock);
        if (walk && prefetch_any(p)) {
            p->left = store_room(p->m->store);
            p->n = 0;
            if (p->left > 0)
                replica_each_content(p->m->replica, want_one, p);
        }
        fetch_damaged_again(p->m->fetch);
        store_evict(p->m->store);
        reserve_keep(p->m->cfg.cache);
        dirty = fetch_came_in(p->m->fetch) || dirty;
        if (dirty && clock_mono_ms() >= synced + SYNC_MS) {
            store_sync(p->m->store);
            synced = clock_mono_ms();
            dirty = false;
        }
        mutex_lock(&p->lock);
        if (!mirror_stopping(p->m) && !(p->walk && link_is_up(&p->m->link)))
            cond_wait_until(&p->more, &p->lock, clock_mono_ms() + LOOK_MS);
    }
    mutex_unlock(&p->lock);
    return NULL;
}

int prefetch_start(struct prefetch *p)
{
    int r = thread_start(&p->thread, "prefetch", prefetch_main, p);

    p->running = r == 0;
    return r;
}

void prefetch_stop(struct prefetch *p)
{
    mutex_lock(&p->lock);
    cond_signal(&p->more);
    mutex_unlock(&p->lock);
    if (p->running)
        thread_join(p->thread);
    p->running = false;
}
