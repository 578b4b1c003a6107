/* SPDX-License-Identifier: MIT */
#include "sync/master/scan/workers.h"

#include <unistd.h>

#include "sync/master/folder/folder.h"
#include "sync/master/commit/committer.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/scan/examine.h"
#include "sync/master/scan/watch.h"

#define EVENT_WORKERS 2 /* they take nothing else */
#define WORKERS_MAX   (EVENT_WORKERS + 16)

static void work(struct master *m, bool events_only)
{
    struct scan_item *it;

    while ((it = scan_queue_take(m->folder->scan_queue, events_only))) {
        examine(m, scan_item_path(it), scan_item_flags(it));
        if (scan_queue_done(m->folder->scan_queue, it))
            committer_scanned(m->committer);
    }
}

static void *event_worker_run(void *arg)
{
    work(arg, true);
    return NULL;
}

static void *worker_run(void *arg)
{
    work(arg, false);
    return NULL;
}

static void scan_begins(void *arg)
{
    watch_scan_begins(((struct master *)arg)->watch);
}

static void scan_ends(void *arg)
{
    watch_scan_ended(((struct master *)arg)->watch);
}

int workers_start(struct master *m, struct err *e)
{
    const struct scan_hooks hooks = {scan_begins, scan_ends, m};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int want = EVENT_WORKERS + (cpus < 2 ? 2 : (int)cpus), r = 0;

    if (want > WORKERS_MAX)
        want = WORKERS_MAX;
    m->folder->scan_queue = scan_queue_new(&hooks);
    for (int n = 0; n < want && r == 0; n++)
        r = scan_queue_start_thread(m->folder->scan_queue,
                                    n < EVENT_WORKERS ? event_worker_run : worker_run, m);
    return r < 0 ? err_sys(e, -r, "cannot start the scan workers") : 0;
}

void workers_scan(struct master *m)
{
    if (!scan_queue_scanning(m->folder->scan_queue))
        scan_queue_push(m->folder->scan_queue, "", SCAN_DEEP | SCAN_FULL, 0);
}
