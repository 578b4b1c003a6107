/* SPDX-License-Identifier: MIT */
/*
 * conflicts: the list of conflict copies. Each stays listed until its copy is removed or renamed,
 * which means that somebody has resolved it. In a transaction.
 */
#ifndef EEFS_MIRROR_REPLICA_CONFLICTS_H
#define EEFS_MIRROR_REPLICA_CONFLICTS_H

#include "sync/mirror/replica/db.h"

/* Adds the conflict that the master's answer `ans` to op reports; operations logged later about the
 * content that became the copy now apply to the copy. 0 or -errno. */
int conflicts_remember(struct replica *r, const struct op_answer *ans, const struct op *op);

/* Forgets those whose copy is gone. 0 or -errno. */
int conflicts_settle(struct replica *r);

/* 1: the version that the writer began from became the conflict copy *ret (malloc'd) and still is:
 * new writes belong there and are no further conflict. 0: no; -errno. */
int conflicts_find_own(struct db *db, const char *path, const struct hash *began, char **ret);

#endif
