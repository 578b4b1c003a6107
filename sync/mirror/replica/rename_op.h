/* SPDX-License-Identifier: MIT */
/*
 * rename_op: a rename in the log and in the overlay, after all checks. In a transaction; each
 * returns 0 or -errno.
 */
#ifndef EEFS_MIRROR_REPLICA_RENAME_OP_H
#define EEFS_MIRROR_REPLICA_RENAME_OP_H

#include "sync/mirror/replica/db.h"

/* The master's state at `to`, of which the view is w; unsent writes there are dropped. `seen`: see
 * seen_pre(). */
int rename_clear(struct replica *r, const char *to, const struct row *w, const struct hash *seen,
                 struct pre *ret);

/* Logs the rename of a served path that is no open file, or the operations that replace it. *opid:
 * the operation to wait for. */
int rename_op(struct replica *r, const char *from, const struct row *v, const char *to,
              const struct pre *to_pre, int64_t *opid);

/* Renames an open file: its operation gets the new path. */
int rename_open(struct replica *r, const char *from, const struct row *v, const char *to,
                const struct pre *to_pre);

/* Moves what the view has at and below `from` as part of operation `opid` (REPLICA_LOCAL: local
 * paths). */
int move_tree(struct replica *r, const char *from, const struct row *v, const char *to,
              int64_t opid);

#endif
