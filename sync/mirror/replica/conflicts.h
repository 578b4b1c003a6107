/* SPDX-License-Identifier: MIT */
/*
 * conflicts: the list of conflict copies. Each is remembered until its copy is gone: whoever
 * removes or renames it has seen to it. In a transaction.
 */
#ifndef EEFS_MIRROR_REPLICA_CONFLICTS_H
#define EEFS_MIRROR_REPLICA_CONFLICTS_H

#include "sync/mirror/replica/db.h"

/* The master's answer `ans` to op says that there is one; what was logged later about the content
 * that became the copy goes on with the copy. 0 or -errno. */
int conflicts_remember(struct replica *r, const struct op_answer *ans, const struct op *op);

/* Forgets those whose copy is gone. 0 or -errno. */
int conflicts_settle(struct replica *r);

/* 1: what the writer began from became the conflict copy *ret (malloc'd) and is that still: what he
 * writes now belongs there, and is no further conflict. 0: no; -errno. */
int conflicts_find_own(struct db *db, const char *path, const struct hash *began, char **ret);

#endif
