/* SPDX-License-Identifier: MIT */
/*
 * put_group: new contents of many files, put in place together. Each step is made for all of them
 * before the next one begins, so a group costs as many syncs and commits as one file:
 *
 *   add       the precondition holds; content and attributes into staging; a note (intent_log.h)
 *   land      sync of the contents; commit of the notes; renames; sync of the folders
 *   publish   rows and answers
 *
 * Only plain ones are added: inline content for the root's own filesystem, the precondition met,
 * nothing staged, made or put there before. What is not, and what turns out not to be at its
 * rename, is applied by itself (apply.h). The paths of a group must not meet: a kill may leave any
 * part of it made, and each operation finds by its own note whether it was. Committer's thread, in
 * its transaction.
 */
#ifndef EEFS_MASTER_OPS_PUT_GROUP_H
#define EEFS_MASTER_OPS_PUT_GROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "sync/master/db/registry.h"
#include "sync/master/master.h"
#include "sync/proto/op.h"

#define PUT_GROUP_MAX 128 /* each needs two descriptors */

struct put_group;

struct put_group *put_group_new(struct master *m, const struct mirror *who, const char *outbox);
/* `withdrawn`: put_group_withdraw() is committed; what was staged and did not land is discarded. Else
 * a kill would make it look moved, and the next start removes it. */
void put_group_free(struct put_group *g, bool withdrawn);
/* Adds the operation, which lives as long as the group. 1; 0: it is not plain, or the group is full;
 * -errno of the database. */
int put_group_add(struct put_group *g, const struct op *op, const struct hash *digest);
size_t put_group_size(const struct put_group *g);
/* Puts them in place in order, until one cannot be; *ret is how many were. 0 or -errno of the
 * database; an error of the disk: none. */
int put_group_land(struct put_group *g, size_t *ret);
/* The i-th of those that landed: its row, and the answer (a->n is set). 0 or -errno of the
 * database. */
int put_group_publish(struct put_group *g, size_t i, struct op_answer *a);
/* Withdraws the notes of those that did not. 0 or -errno of the database. */
int put_group_withdraw(struct put_group *g);

#endif
