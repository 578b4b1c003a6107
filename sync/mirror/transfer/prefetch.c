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
#include "sync/common/worker.h"
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
    struct worker worker; /* its lock guards walk */
    bool walk;
    int64_t left; /* bytes that may still be asked for in this walk; thread only */
    size_t n;
};

struct prefetch *prefetch_new(struct mirror *m)
{
    struct prefetch *p = xcalloc(1, sizeof(*p));

    p->m = m;
    p->walk = true;
    worker_init(&p->worker);
    return p;
}

void prefetch_free(struct prefetch *p)
{
    if (!p)
        return;
    worker_release(&p->worker);
    free(p);
}

void prefetch_walk(struct prefetch *p)
{
    worker_lock(&p->worker);
    p->walk = true;
    worker_wake_locked(&p->worker);
    worker_unlock(&p->worker);
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

    worker_lock(&p->worker);
    while (!mirror_stopping(p->m)) {
        walk = p->walk && link_is_up(&p->m->link);
        if (walk)
            p->walk = false;
        worker_unlock(&p->worker);
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
        worker_lock(&p->worker);
        if (!(p->walk && link_is_up(&p->m->link)))
            worker_wait_locked(&p->worker, clock_mono_ms() + LOOK_MS);
    }
    worker_unlock(&p->worker);
    return NULL;
}

int prefetch_start(struct prefetch *p)
{
    return worker_start(&p->worker, "prefetch", prefetch_main, p);
}

void prefetch_stop(struct prefetch *p)
{
    worker_stop(&p->worker);
}
