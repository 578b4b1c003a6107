/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/root_monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/worker.h"
#include "sync/master/folder/epoch.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/space.h"
#include "sync/master/folder/upload.h"
#include "sync/master/folder/volume.h"

#define LOOK_MS  500
#define CLEAN_MS 60000 /* between removals of old uploads */

struct root_monitor {
    struct folder *folder;
    struct worker worker; /* its lock guards the rest */
    bool is_short;
    char why[512];
};

static void *root_monitor_run(void *arg)
{
    struct root_monitor *o = arg;
    struct folder *f = o->folder;
    int generation = 0;
    int64_t clean = clock_mono_ms() + CLEAN_MS, epoch = clock_mono_ms() + EPOCH_MS;

    worker_lock(&o->worker);
    while (!worker_stopping_locked(&o->worker)) {
        char why[sizeof(o->why)] = "";
        bool is_short, ok;

        worker_unlock(&o->worker);
        ok = root_check(f->root);
        if (ok && generation != root_generation(f->root)) {
            generation = root_generation(f->root);
            if (root_folds_case(f->root))
                log_warn("the filesystem of '%s' does not distinguish names that differ only by "
                         "case: a mirror that creates two such names gets a conflict",
                         root_path(f->root));
        }
        if (ok) {
            volumes_look(f->volumes);
            volumes_tell(f->volumes);
        }
        if (ok && clock_mono_ms() >= clean) {
            uploads_clean(f->uploads, false);
            clean = clock_mono_ms() + CLEAN_MS;
        }
        if (ok && clock_mono_ms() >= epoch) {
            struct err e;

            if (epoch_advance(f, NULL, &e) < 0)
                log_warn("%s", e.text);
            epoch = clock_mono_ms() + EPOCH_MS;
        }
        is_short = space_short(f, 0, why, sizeof(why));
        worker_lock(&o->worker);
        o->is_short = is_short;
        memcpy(o->why, why, sizeof(why));
        worker_wait_locked(&o->worker, clock_mono_ms() + LOOK_MS);
    }
    worker_unlock(&o->worker);
    return NULL;
}

int root_monitor_start(struct folder *f, struct root_monitor **ret, struct err *e)
{
    struct root_monitor *o = xcalloc(1, sizeof(*o));
    int r;

    o->folder = f;
    worker_init(&o->worker);
    r = worker_start(&o->worker, "root monitor", root_monitor_run, o);
    if (r < 0) {
        worker_release(&o->worker);
        free(o);
        return err_sys(e, -r, "cannot start the thread that monitors the folder");
    }
    *ret = o;
    return 0;
}

bool root_monitor_short(struct root_monitor *o, char *why, size_t cap)
{
    bool yes;

    worker_lock(&o->worker);
    yes = o->is_short;
    if (yes)
        snprintf(why, cap, "%s", o->why);
    worker_unlock(&o->worker);
    return yes;
}

void root_monitor_stop(struct root_monitor *o)
{
    if (!o)
        return;
    worker_release(&o->worker);
    free(o);
}
