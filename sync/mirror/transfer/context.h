/* SPDX-License-Identifier: MIT */
/*
 * context: struct mirror as its threads see it. Only the files of sync/mirror include this.
 *
 *   pull    hello, feed pages → base; the prober while the link is down      (1 thread)
 *   push    outbox → POST /v1/ops                                            (1 thread)
 *   upload  large contents ahead of their operations                         (4 threads)
 *   wait    who waits for the master's answer                                (1 thread)
 *   fetch   contents on demand and ahead of it                               (4 + 2 threads)
 *   tell    changed paths → fs, watch streams and hooks                      (1 thread)
 *   hooks   commands of on_change                                            (1 thread)
 *   prefetch  walks, eviction, sync mark                                     (1 thread)
 *   state   status and its reports                                           (1 thread)
 *   recheck tries again what failed on this machine's disk                   (1 thread)
 *   control the socket's threads (sync/common/ctl.h)
 *
 * Each part has its own lock and none calls another part's functions while holding it.
 */
#ifndef EEFS_MIRROR_TRANSFER_CONTEXT_H
#define EEFS_MIRROR_TRANSFER_CONTEXT_H

#include <stdatomic.h>

#include "sync/common/ctl.h"
#include "sync/mirror/config.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/transfer/faults.h"
#include "sync/mirror/transfer/hooks.h"
#include "sync/mirror/transfer/link.h"
#include "sync/mirror/transfer/wake.h"
#include "sync/mirror/store/store_admin.h"
#include "sync/proto/http_client.h"

struct pull;
struct push;
struct upload;
struct wait;
struct fetch;
struct tell;
struct prefetch;
struct recheck;
struct state;

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
    atomic_int renewals;  /* how often the database was made anew in this run */
    pthread_mutex_t lock; /* guards name */
    char name[128];       /* the mirror's name on the master */
    struct pull *pull;
    struct push *push;
    struct upload *upload;
    struct wait *wait;
    struct fetch *fetch;
    struct tell *tell;
    struct hooks *hooks;
    struct prefetch *prefetch;
    struct state *state;
    struct recheck *recheck;
    struct ctl_server *control;
    mirror_remount_fn *remount; /* constant after start; NULL: none */
    void *remount_arg;
};

static inline bool mirror_stopping(struct mirror *m)
{
    return atomic_load(&m->stop);
}

/* Every x_new makes the part, x_start its threads, x_stop joins them (m->stop is set, http
 * stopped), x_free. */

/* --- pull.c --- */
struct pull *pull_new(struct mirror *m);
void pull_free(struct pull *p);
int pull_start(struct pull *p);
void pull_stop(struct pull *p);
/* hello and the whole first listing, in the caller's thread; each page comes within page_ms. */
int pull_first(struct pull *p, int64_t page_ms, struct err *e);
/* For a cache that was last used with another address: asks who is there. -EXDEV: another master;
 * 0 also when nobody answers (the thread goes on asking). */
int pull_check_address(struct pull *p, struct err *e);
/* True when the last page set reached the head. */
bool pull_in_step(struct pull *p, int64_t *since);

/* --- push.c --- */
struct push *push_new(struct mirror *m);
void push_free(struct push *p);
int push_start(struct push *p);
void push_stop(struct push *p);
/* --- upload.c --- */
enum upload_state { UPLOAD_BUSY, UPLOAD_DONE, UPLOAD_FAILED };
struct upload *upload_new(struct mirror *m);
void upload_free(struct upload *u);
int upload_start(struct upload *u);
void upload_stop(struct upload *u);
/* Wants the content of operation `opid` on the master; tells how that stands. A failed one is
 * tried again by the next call. outbox_wake is kicked whenever one ends. e: why it failed; `code`
 * (UPLOAD_CODE_CAP bytes): the master's word for it, or "". */
#define UPLOAD_CODE_CAP 32
enum upload_state upload_want(struct upload *u, const struct hash *h, int64_t size, int64_t opid,
                              char *code, struct err *e);
/* The master has it no more, operation `opid` was told: it is sent again when it is wanted. */
void upload_forget(struct upload *u, const struct hash *h, int64_t opid);

/* --- wait.c --- */
struct wait *wait_new(struct mirror *m);
void wait_free(struct wait *w);
int wait_start(struct wait *w);
void wait_stop(struct wait *w); /* ends what waits, as if cut */
uint64_t wait_add(struct wait *w, int64_t opid, mirror_done_fn *done, void *arg);
/* Operation opid, or its content, went on as it never did before: who waits for it or for what is
 * sent after it has 5 s more. Any thread. */
void wait_moved(struct wait *w, int64_t opid);
void wait_cut(struct wait *w, uint64_t ticket);

/* --- fetch.c --- */
struct fetch *fetch_new(struct mirror *m);
void fetch_free(struct fetch *f);
int fetch_start(struct fetch *f);
void fetch_stop(struct fetch *f); /* what waits ends with -EIO */
/* done NULL: prefetch. */
void fetch_want(struct fetch *f, const struct hash *h, int64_t size, mirror_done_fn *done,
                void *arg);
size_t fetch_queued(struct fetch *f); /* prefetches not begun */
bool fetch_came_in(struct fetch *f);  /* true once after something was stored */
/* Asks for the content that came damaged once more when it is time to; the fault ends with it. */
void fetch_damaged_again(struct fetch *f);

/* --- prefetch.c --- */
struct prefetch *prefetch_new(struct mirror *m);
void prefetch_free(struct prefetch *p);
int prefetch_start(struct prefetch *p);
void prefetch_stop(struct prefetch *p);
void prefetch_walk(struct prefetch *p); /* soon: look at the whole tree */
bool prefetch_wants(struct prefetch *p, const char *path);
bool prefetch_any(struct prefetch *p); /* the policy is not "none" */
bool prefetch_room(struct prefetch *p);

/* --- tell.c --- */
struct tell *tell_new(struct mirror *m);
void tell_free(struct tell *t);
int tell_start(struct tell *t, mirror_change_fn *changed, void *arg);
void tell_stop(struct tell *t);
/* Modes may have changed everywhere. */
void tell_all(struct tell *t);
/* Takes over what is in `paths` (empty afterwards). */
void tell_changed(struct tell *t, struct strlist *paths);
/* Streams changes at or under `path` into conn until it is closed; in the connection's thread. */
void tell_watch(struct tell *t, struct ctl_conn *conn, const char *path);

/* --- state.c --- */
struct state *state_new(struct mirror *m);
void state_free(struct state *s);
int state_start(struct state *s);
void state_stop(struct state *s);
/* The whole status object, new reference. */
json_t *state_json(struct mirror *m);

/* --- disk_check.c --- */
/* Whether the disk is well at `path`; for recheck_start(), arg: the mirror. */
bool disk_check(void *arg, const char *path);

/* --- salvage.c --- */
/* New reference: [{"path","hash","file","size","time"}]: contents that only the store has. */
json_t *salvage_list(struct mirror *m);

/* --- control.c --- */
int control_start(struct mirror *m, struct err *e);
void control_stop(struct mirror *m);

#endif
