/* SPDX-License-Identifier: MIT */
/*
 * folder_renames: an operation names a path as its mirror knows it; when it was sent before the
 * mirror heard of a folder's rename, it applies to the present place of the folder. So the path
 * goes through every rename that came after what the mirror knew (db/renames.h): also when the old
 * name has another folder by now, and not when the mirror has made a folder of that name itself.
 * A folder that both sides renamed gets the mirror's name, which comes later, with all that is in it.
 */
#ifndef EEFS_MASTER_PUBLISH_FOLDER_RENAMES_H
#define EEFS_MASTER_PUBLISH_FOLDER_RENAMES_H

#include "sync/master/db/registry.h"
#include "sync/master/db/tree.h"
#include "sync/proto/op.h"

struct master;

/* The paths of an operation as its mirror named them; NULL: they are those of the operation. */
struct moved {
    char *path, *to; /* owned */
};

void folder_renames_release(struct moved *was);
/* Gives `op` the paths back that it came with; *was is empty then. */
void folder_renames_undo(struct op *op, struct moved *was);
/*
 * Gives `op` the paths that they have by now, and *was those that it came with. A path stays as it
 * is where the mirror must not write, or cannot read, what it would become, and when the operation
 * does not say what its mirror knew (op->known). 0 or -errno of the database.
 */
int folder_renames_follow(const struct master *m, const struct mirror *who, const char *outbox,
                          struct op *op, struct moved *was);
/* Adds to the answer of a followed operation what its mirror calls the same. 0 or -errno. */
int folder_renames_tell(const struct master *m, const struct moved *was, const struct op *op,
                        struct op_answer *a);

#endif
