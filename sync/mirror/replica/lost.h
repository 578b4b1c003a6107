/* SPDX-License-Identifier: MIT */
/*
 * lost: what this mirror knew from a time that the master has lost: its database or its folder was
 * put back from a backup or a snapshot. The master's answer to an unknown cursor says how far both
 * know the same (wire.h: reset); the listing that follows replaces the base, and what differs and
 * comes from after that point goes into the table `lost`: path, content, times, seq. These contents
 * are pinned (replica_pins) until the master has them back, or has let them go.
 */
#ifndef EEFS_MIRROR_REPLICA_LOST_H
#define EEFS_MIRROR_REPLICA_LOST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/common/db.h"
#include "sync/mirror/replica/db.h"
#include "sync/proto/cursor.h"

/* Within the transaction that gives the base the cursor `next`: records where the present timeline
 * ended. 0 or -errno. */
int lost_note_timeline(struct db *db, const struct cursor *next);
/* Within the transaction, before a full listing (staged in `incoming`) replaces the base: keeps what
 * the master has lost, if the last reset said that there is such a time. 0 or -errno. */
int lost_keep(struct replica *r);

#endif
