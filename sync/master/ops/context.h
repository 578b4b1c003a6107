/* SPDX-License-Identifier: MIT */
/*
 * context: one operation on its way, and the helpers of the files that apply it: answers, and rows
 * of the files that they put into the folder.
 *
 * Functions return 0 (the answer is in `a`), or a negative errno of the filesystem, which
 * apply_op() turns into an answer, or of the database (kept in db_error), which ends the
 * transaction.
 */
#ifndef EEFS_MASTER_OPS_CONTEXT_H
#define EEFS_MASTER_OPS_CONTEXT_H

#include <sys/stat.h>

#include "sync/master/db/tree.h"
#include "sync/master/ops/apply.h"

struct apply {
    struct master *m;
    const struct mirror *who;
    const char *outbox;
    const struct op *op;
    const struct hash *digest; /* of op */
    const char *asked;         /* op->path as its mirror named it (folder_renames.h); NULL: so */
    struct carry *carry;
    struct op_answer *a;
    int db_error;
    bool noted; /* intent_log.c's */
};

/* Notes a database error in j; 0 or that error. */
int apply_db(struct apply *j, int r);
/* Fills the answer; the texts are copied. Returns 0. */
int apply_answer(struct apply *j, enum op_result result, const char *code, const char *error);
int apply_refuse(struct apply *j, const char *code, const char *error);
/* Ends a conflict whose copy is at `copy` (taken over): tells it, the folders above it and what has
 * the operation's path. `r` below 0: it could not be placed there, returned. */
int apply_conflict(struct apply *j, char *copy, int r);
/* False: that copy would lie outside what the mirror may write (beside the top of its scope), and
 * the change is refused; *r: 0, or why the answer could not be filled. */
bool apply_copy_allowed(struct apply *j, const char *copy, int *r);
/* True when the error means that an entry, possibly of another type, is in the way at the path or
 * above it. */
bool apply_in_the_way(int r);
/* Adds the tree's entry of `path`; a tombstone when the tree never had one. */
int apply_tell(struct apply *j, const char *path);
/* Writes the row of the file that was just put at `path` (publish.h). */
int apply_publish(struct apply *j, const char *path, const struct stat *st, const struct hash *hash,
                  const char *target, int64_t seen, const char *moved_from);

/* Applies the mode (-1: leave) and the operation's mtime, if it has one, to the entry there,
 * publishes it and adds it to the answer. */
int apply_attrs(struct apply *j, const char *path, struct row *row, int64_t mode);

#endif
