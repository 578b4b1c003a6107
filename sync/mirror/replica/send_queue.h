/* SPDX-License-Identifier: MIT */
/*
 * send_queue: the outbox towards the master, in order: the operations to send next, and those that
 * cannot be sent because the master refused them (quarantined), because they failed for now
 * (deferred), or because they depend on one of these.
 */
#ifndef EEFS_MIRROR_REPLICA_SEND_QUEUE_H
#define EEFS_MIRROR_REPLICA_SEND_QUEUE_H

#include "sync/mirror/replica/db.h"

enum standing { FREE, REFUSED, WAITING }; /* REFUSED: or deferred */

/* Selects refused or deferred operations: those at or under `under`, or those in `ids` (sorted). */
struct pick {
    const char *under;
    const int64_t *ids;
    size_t n;
};

typedef int walk_fn(void *arg, struct outbox_row *o, enum standing s);

/*
 * Calls fn for the operations beyond `after`, and for those from the first refused one on, in
 * order, until it returns non-zero (returned then). fn may take the row over by zeroing it; it
 * must not change the outbox.
 */
int send_queue_walk(struct db *db, int64_t after, const struct pick *pick, walk_fn *fn, void *arg);

/* All refused and deferred ones. */
extern const struct pick send_queue_everything;

/* 1 when an operation can be sent now, 0 when none can, -errno. */
int send_queue_can_send(struct db *db);

#endif
