/* SPDX-License-Identifier: MIT */
/*
 * unseen: renames by local programs that the scan has not reached yet. An operation in a renamed
 * folder, or a new content for a renamed file, would find it gone and create it again, beside the
 * intended one; so the rename is published before the operation, which then follows it
 * (folder_renames.h, put.h).
 */
#ifndef EEFS_MASTER_OPS_UNSEEN_H
#define EEFS_MASTER_OPS_UNSEEN_H

#include "sync/master/master.h"
#include "sync/proto/op.h"

/* Publishes the renames of the folders that the operation's paths lie in or name, and of the file that it
 * replaces. May wait a second for the watcher when one of them is not where the tree has it. Committer's thread, within its transaction. 0 or
 * -errno of the database. */
int unseen_renames(struct master *m, const struct op *op);

#endif
