/* SPDX-License-Identifier: MIT */
/*
 * context: struct mirror as its threads see it. Only the files of sync/mirror include this. The
 * parts, each with a header of its own:
 *
 *   pull    hello, feed pages → base; the prober while the link is down      (1 thread)
 *   push    outbox → POST /v1/ops                                            (1 thread)
 *   upload  large contents ahead of their operations                         (4 threads)
 *   wait    who waits for the master's answer                                (1 thread)
 *   fetch   contents on demand and ahead of it                               (4 + 2 threads)
 *   changes changed paths → fs, watch streams and hooks                      (1 thread)
 *   hooks   commands of on_change                                            (1 thread)
 *   giveback  what the master has lost → POST /v1/lost                         (1 thread)
 *   prefetch  walks, eviction, sync mark                                     (1 thread)
 *   status  how the mirror stands, its reports                                           (1 thread)
 *   health  whether it is fit for visitors, and the pages for monitors       (1 thread, 1 or 2)
 *   recheck tries again what failed on this machine's disk                   (1 thread)
 *   control the socket's threads (sync/common/ctl.h)
 *
 * Each part has its own lock and none calls another part's functions while holding it.
 */
#ifndef EEFS_MIRROR_TRANSFER_CONTEXT_H
#define EEFS_MIRROR_TRANSFER_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include "sync/mirror/config.h"
#include "sync/mirror/transfer/faults.h"
#include "sync/mirror/transfer/link.h"
#include "sync/mirror/transfer/wake.h"

struct ctl_server;
struct hooks;
struct http;
struct replica;
struct store;

struct pull;
struct push;
struct upload;
struct wait;
struct fetch;
struct changes;
struct giveback;
struct prefetch;
struct recheck;
struct status;
struct fitness;
struct health;

struct mirror {
    struct mirror_config cfg; /* own copies of the strings */
    int lock_fd;              /* CACHE/lock */
    struct replica *replica;
    struct store *store;
    struct http *http;
    struct link link;
    struct wake outbox_wake;  /* push: there is something to send */
    struct wake answers_wake; /* wait: answers came in, or the link went down */
    struct faults faults;
    atomic_bool stop;
    int leftovers;        /* contents that an earlier run could not log; constant after open */
    atomic_int renewals;  /* how often the database was rebuilt in this run */
    pthread_mutex_t lock; /* guards name and twin */
    char name[128];       /* the mirror's name on the master */
    char twin[256];       /* another machine that uses its token; "": none */
    struct pull *pull;
    struct push *push;
    struct upload *upload;
    struct wait *wait;
    struct fetch *fetch;
    struct changes *changes;
    struct hooks *hooks;
    struct giveback *giveback;
    struct prefetch *prefetch;
    struct status *status;
    struct fitness *fitness;
    struct health *health;
    struct recheck *recheck;
    struct ctl_server *control;
    mirror_remount_fn *remount; /* constant after start; NULL: none */
    void *remount_arg;
};

static inline bool mirror_stopping(struct mirror *m)
{
    return atomic_load(&m->stop);
}

#endif
