/* SPDX-License-Identifier: MIT */
/*
 * delete_guard: what is gone from the folder waits here before it is published as deleted, until it is
 * clear that this is meant. A deletion is published about a second after the last one of its burst.
 * More than --max-delete and more than 20 % of all files within a minute, or a folder that has
 * nothing left in it, are held: until the files are back, or `eefs-master confirm`.
 *
 * What is held is found again by the scan after a restart. Deletions that a mirror asked for do not
 * pass here.
 */
#ifndef EEFS_MASTER_PUBLISH_DELETE_GUARD_H
#define EEFS_MASTER_PUBLISH_DELETE_GUARD_H

#include "sync/master/master.h"

struct brake;

struct brake *brake_new(struct master *m);
void brake_free(struct brake *b);

/* --- the committer's thread --- */

/* The path has a row and is not there any more, or is no folder any more. */
void brake_add(struct brake *b, const char *path);
/* clock_mono_ms() of the next brake_run(); INT64_MAX: nothing waits. */
int64_t brake_due(struct brake *b);
/* Within the transaction: publishes what may be. Number of paths or -errno of the database. */
int brake_run(struct brake *b);
/* After the commit of what brake_run() published; `ok` false: it waits on. */
void brake_committed(struct brake *b, bool ok);
/* Decides with the next brake_run(), not after a quiet second. */
void brake_now(struct brake *b);
/* Not now: the folder or the database is away. */
void brake_put_off(struct brake *b);
/* All that waits now is meant. */
void brake_confirm(struct brake *b);

/* --- any thread --- */

/* How many paths are held (0: none), and why (a sentence). */
int64_t brake_held(struct brake *b, char *why, size_t cap);
/* The folder has nothing left in it; `why` as above. */
bool brake_emptied(struct brake *b, char *why, size_t cap);

#endif
