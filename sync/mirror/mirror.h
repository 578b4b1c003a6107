/* SPDX-License-Identifier: MIT */
/*
 * mirror: one instance: replica, store and the threads that follow the master (pull), fetch
 * content, push the outbox, evict, and answer the control socket.
 *
 * This header, replica.h and store.h are all that fs/ includes. Order of use:
 * mirror_open (before daemonising is over: reads the cache, may contact the master, starts no
 * thread) → mirror_start (starts threads) → … → mirror_stop → mirror_close.
 */
#ifndef EEFS_MIRROR_MIRROR_H
#define EEFS_MIRROR_MIRROR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/opt.h"
#include "sync/mirror/replica/replica.h"
#include "sync/mirror/store/store.h"

struct account;
struct mirror;
struct ctl_peer;

/* A command that is run when something changes on the master (hooks.h). */
struct mirror_hook {
    char *glob, *command;
    const struct account *account; /* whom it runs as; NULL: as we do */
    struct strlist hidden;         /* paths that this user may not see */
};

struct mirror_config {
    const char *url;         /* http(s)://host[:port]/ */
    const char *token;       /* the secret itself */
    const char *cafile;      /* see struct http_config; may be NULL */
    bool insecure_http;      /* the same */
    const char *cache;       /* folder; created 0700 */
    int64_t cache_size;      /* bytes of clean content */
    int64_t lag_limit;       /* ms behind the master from which on it is DEGRADED */
    struct strlist prefetch; /* "all", "none" or globs */
    bool offline_fail;       /* offline=fail instead of queue */
    bool read_only;
    const char *instance;   /* name for sockets and messages */
    const char *mountpoint; /* absolute; told by status */
    const char *rundir;     /* rundir_path() */
    /* Whether the mount names `path` to a local user; asked for peers of the control socket that
     * are neither root nor our own user. NULL: to nobody. */
    bool (*shows)(void *arg, const struct ctl_peer *who, const char *path);
    void *shows_arg;
    /* An empty cache needs the master: how long it is waited for (ms), who is told what is waited
     * for (before each further try; may be NULL), and who ends the wait (may be NULL). */
    int64_t retry_ms;
    void (*waiting)(void *arg, const char *why, int64_t left_ms);
    bool (*give_up)(void *arg);
    void *wait_arg;
    const struct mirror_hook *hooks; /* live as long as the mirror */
    size_t n_hooks;
};

/*
 * Opens the cache (locked against a second mount), checks schema and master id. With an empty
 * replica (cold cache) it contacts the master (hello and the whole first listing, each page within
 * 30 s), so that the mount never shows a half tree, and waits for one that cannot be reached or is
 * in its first scan (retry_ms); a wrong token and the like fail at once. Otherwise it does not wait
 * for the network, unless the address is not the one of last time (one hello, given up after 10 s
 * of silence). Errors are sentences for the admin: unreachable master on a cold cache, wrong token,
 * cache of another master, cache in use, newer schema.
 */
int mirror_open(const struct mirror_config *cfg, struct mirror **ret, struct err *e);

/*
 * What fs is told after a commit, without any lock held, from one thread of its own, in commit
 * order: the view of `path` (and so its folder's listing) may have changed; fs asks the replica
 * what it is now. Own changes through the mount are reported only when the view later becomes
 * something else than the change made it. `n` 0: anything may have changed everywhere: other paths
 * may be written now, or the replica's database is a new one.
 */
typedef void mirror_change_fn(void *arg, const char *const *paths, size_t n);

int mirror_start(struct mirror *m, mirror_change_fn *changed, void *arg, struct err *e);

/* Stops threads; flushes the outbox for at most flush_ms and logs what is still pending. */
void mirror_stop(struct mirror *m, int64_t flush_ms);
void mirror_close(struct mirror *m); /* NULL is fine */

struct replica *mirror_replica(struct mirror *m);
struct store *mirror_store(struct mirror *m);

/*
 * Wants content `h` as a verified object in the store. Calls done(arg, 0 or -errno) exactly once,
 * from a thread of the mirror (never from within this call): -EIO master away or damaged on the
 * way, -ESTALE superseded on the master (404), -ENOSPC. All who wait for the same hash share one
 * transfer.
 */
typedef void mirror_done_fn(void *arg, int result);
void mirror_fetch(struct mirror *m, const struct hash *h, int64_t size, mirror_done_fn *done,
                  void *arg);

/*
 * Waits for the master's answer to operation `opid` and everything before it: done(arg, 0) when it
 * is confirmed, or when it is safely queued (outbox and content synced to disk) because the master
 * is away or gave no sign of progress for 5 s (offline=queue); -errno with offline=fail or a
 * refusal. Exactly once, from a thread of the mirror. Returns a ticket for mirror_wait_cut.
 */
uint64_t mirror_wait(struct mirror *m, int64_t opid, mirror_done_fn *done, void *arg);
/* An interrupted wait: it ends as if the 5 s were over. Unknown tickets are ignored. */
void mirror_wait_cut(struct mirror *m, uint64_t ticket);

/*
 * Before mirror_start: what the control socket's "remount" calls, in a thread of its own.
 * `options`: as after -o. apply false: only whether it can be done. 0 or -errno with a sentence.
 */
typedef int mirror_remount_fn(void *arg, const char *options, bool apply, struct err *e);
void mirror_on_remount(struct mirror *m, mirror_remount_fn *fn, void *arg);
/* From now on; modes that are shown change with it. */
void mirror_set_read_only(struct mirror *m, bool read_only);

/* False while the master is away. */
bool mirror_in_contact(struct mirror *m);

/* Tells the push thread that there is something to send (each changing replica call does not). */
void mirror_kick(struct mirror *m);

#endif
