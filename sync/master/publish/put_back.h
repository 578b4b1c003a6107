/* SPDX-License-Identifier: MIT */
/*
 * put_back: a start finds that the folder was put back to an earlier state (root.h), from a backup or
 * as a snapshot, or that it was adopted, while the database is newer. What the folder lacks was not
 * deleted, so all deletions are held (delete_guard.h); and contents in it may be older than those
 * that mirrors have, so each mirror lists anew and keeps what differs (wire.h: reset).
 */
#ifndef EEFS_MASTER_PUBLISH_PUT_BACK_H
#define EEFS_MASTER_PUBLISH_PUT_BACK_H

#include "sync/common/err.h"
#include "sync/master/master.h"

/* When the folder was put back: records it, in a transaction of its own, before threads start. Also
 * lets the delete guard go on with a hold of an earlier run. 1: it was, 0, or -errno with e. */
int put_back_begin(struct master *m, struct err *e);

#endif
