/* SPDX-License-Identifier: MIT */
/*
 * unseen: renames of folders by local programs that the scan has not reached yet. An operation in
 * such a folder would find it gone and create it again, beside the intended one; so the rename is
 * published before the operation, which then follows it (folder_renames.h).
 */
#ifndef EEFS_MASTER_OPS_UNSEEN_H
#define EEFS_MASTER_OPS_UNSEEN_H

#include "sync/master/master.h"
#include "sync/proto/op.h"

/* Publishes the renames of the folders that the operation's paths lie in or name. May wait a second for the
 * watcher when one of them is not where the tree has it. Committer's thread, within its transaction. 0 or
 * -errno of the database. */
int unseen_renames(struct master *m, const struct op *op);

#endif
