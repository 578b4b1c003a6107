/* SPDX-License-Identifier: MIT */
/* apply: one operation on the folder and the tree (see batch.h). Committer's thread, in its
 * transaction. */
#ifndef EEFS_MASTER_OPS_APPLY_H
#define EEFS_MASTER_OPS_APPLY_H

#include "sync/master/folder/carry.h"
#include "sync/master/db/registry.h"
#include "sync/master/master.h"
#include "sync/proto/op.h"

struct apply; /* context.h */

/* True when the mirror may ask for the operation; false: the answer is a refusal by now. */
bool apply_allows(struct apply *j);

/* `digest` is op_digest()'s; `asked`: op->path as its mirror named it (folder_renames.h), NULL: it
 * is the same. Fills the answer (a->n is set). 0, or -errno of the database: then, and when `carry`
 * is wanted by now, the answer is void. */
int apply_op(struct master *m, const struct mirror *who, const char *outbox, const struct op *op,
             const struct hash *digest, const char *asked, struct carry *carry,
             struct op_answer *a);

#endif
