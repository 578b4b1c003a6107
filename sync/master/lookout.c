/* SPDX-License-Identifier: MIT */
#include "sync/master/lookout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"
#include "sync/master/space.h"
#include "sync/master/upload.h"
#include "sync/master/volume.h"

#define LOOK_MS  500
#define CLEAN_MS 60000 /* between removals of old uploads */

struct lookout {
    struct master *m;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t change;
    bool stopping, is_short;
    char why[512];
};

static void *run(void *arg)
{
    struct lookout *l = arg;
    struct master *m = l->m;
    int generation = 0;
    int64_t clean = clock_mono_ms() + CLEAN_MS;

    mutex_lock(&l->lock);
    while (!l->stopping) {
        char why[sizeof(l->why)] = "";
        bool is_short, ok;

        mutex_unlock(&l->lock);
        ok = root_check(m->root);
        if (ok && generation != root_generation(m->root)) {
            generation = root_generation(m->root);
            if (root_folds_case(m->root))
                log_warn("the filesystem of '%s' takes names that differ by case only for the same "
                         "one: a mirror that makes two such names gets a conflict",
                         root_path(m->root));
        }
        if (ok)
            volumes_look(m->volumes);
        if (ok && clock_mono_ms() >= clean) {
            uploads_clean(m->uploads, false);
            clean = clock_mono_ms() + CLEAN_MS;
        }
        is_short = space_short(m, 0, why, sizeof(why));
        mutex_lock(&l->lock);
        l->is_short = is_short;
        memcpy(l->why, why, sizeof(why));
        if (!l->stopping)
            cond_wait_until(&l->change, &l->lock, clock_mono_ms() + LOOK_MS);
    }
    mutex_unlock(&l->lock);
    return NULL;
}

int lookout_start(struct master *m, struct lookout **ret, struct err *e)
{
    struct lookout *l = xcalloc(1, sizeof(*l));
    int r;

    l->m = m;
    mutex_init(&l->lock);
    cond_init(&l->change);
    r = thread_start(&l->thread, "lookout", run, l);
    if (r < 0) {
        free(l);
        return err_sys(e, -r, "cannot start the thread that looks at the folder");
    }
    *ret = l;
    return 0;
}

bool lookout_short(struct lookout *l, char *why, size_t cap)
{
    bool yes;

    mutex_lock(&l->lock);
    yes = l->is_short;
    if (yes)
        snprintf(why, cap, "%s", l->why);
    mutex_unlock(&l->lock);
    return yes;
}

void lookout_stop(struct lookout *l)
{
    if (!l)
        return;
    mutex_lock(&l->lock);
    l->stopping = true;
    cond_signal(&l->change);
    mutex_unlock(&l->lock);
    thread_join(l->thread);
    cond_destroy(&l->change);
    mutex_destroy(&l->lock);
    free(l);
}
