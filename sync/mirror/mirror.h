/* SPDX-License-Identifier: MIT */
/*
 * mirror: one instance: replica, store and the threads that follow the master (pull), fetch
 * content, push the outbox, evict, and answer the control socket.
 *
 * This header, replica.h and store.h are all that fs/ includes, with what they include. Order of
 * use: mirror_open (before daemonising is over: reads the cache, may contact the master, starts no
 * thread) → mirror_start (starts threads) → … → mirror_stop → mirror_close.
 */
#ifndef EEFS_MIRROR_MIRROR_H
#define EEFS_MIRROR_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/mirror/config.h"
#include "sync/mirror/replica/replica.h"
#include "sync/mirror/store/store.h"

struct mirror;

/*
 * Opens the cache (locked against a second mount), checks schema and master id. With an empty
 * replica (cold cache) it contacts the master (hello and the whole first listing, each page within
 * 30 s), so that the mount never shows half a tree, and waits for a master that cannot be reached
 * or is in its first scan (retry_ms); errors such as a wrong token fail at once. Otherwise it does
 * not wait for the network, unless the address has changed since the last mount (one hello, which
 * ends after 10 s of silence). Errors are sentences for the admin: unreachable master on a cold
 * cache, wrong token, cache of another master, cache in use, newer schema.
 */
int mirror_open(const struct mirror_config *cfg, struct mirror **ret, struct err *e);

int mirror_start(struct mirror *m, mirror_change_fn *changed, void *arg, struct err *e);

/* Stops threads; flushes the outbox for at most flush_ms and logs the changes that are still
 * pending. */
void mirror_stop(struct mirror *m, int64_t flush_ms);
void mirror_close(struct mirror *m); /* NULL is fine */

struct replica *mirror_replica(struct mirror *m);
struct store *mirror_store(struct mirror *m);

/*
 * Requests content `h` as a verified object in the store. Calls done(arg, 0 or -errno) exactly
 * once, from a thread of the mirror (never from within this call): -EIO the master is away or the
 * content arrived damaged, -ESTALE superseded on the master (404), -ENOSPC. All requests for the
 * same hash share one transfer.
 */
void mirror_fetch(struct mirror *m, const struct hash *h, int64_t size, mirror_done_fn *done,
                  void *arg);

/*
 * Waits for the master's answer to operation `opid` and everything before it: done(arg, 0) when it
 * is confirmed, or when it is safely queued (outbox and content synced to disk) because the master
 * is away or gave no sign of progress for 5 s (offline=queue); -errno with offline=fail or a
 * refusal. Exactly once, from a thread of the mirror. Returns a ticket for mirror_wait_cut.
 */
uint64_t mirror_wait(struct mirror *m, int64_t opid, mirror_done_fn *done, void *arg);
/* Interrupts a wait: it ends as if the 5 s were over. Unknown tickets are ignored. */
void mirror_wait_cut(struct mirror *m, uint64_t ticket);

/* Before mirror_start; none: it cannot be remounted. */
void mirror_on_remount(struct mirror *m, mirror_remount_fn *fn, void *arg);
/* Makes the mount read-only or writable from now on; the shown modes change with it. */
void mirror_set_read_only(struct mirror *m, bool read_only);

/* False while the master is away. */
bool mirror_in_contact(struct mirror *m);

/* Sets or clears the fault that files written here cannot get into the outbox: their number (0:
 * none any more), the first of them, and the reason (-errno). */
void mirror_unpublished(struct mirror *m, size_t n, const char *path, int error);

/* Tells the push thread that there is something to send (each changing replica call does not). */
void mirror_kick(struct mirror *m);

#endif
