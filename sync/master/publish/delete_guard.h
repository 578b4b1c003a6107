/* SPDX-License-Identifier: MIT */
/*
 * delete_guard: what is gone from the folder waits here before it is published as deleted, until it
 * is clear that this is meant. A deletion is published about a second after the last one of its
 * burst. More than --max-delete and more than 20 % of all files within a minute, or a folder that
 * has nothing left in it, are held: until the files are back, or `eefs-master confirm`.
 *
 * What is held is found again by the scan after a restart. Deletions that a mirror asked for do not
 * pass here.
 */
#ifndef EEFS_MASTER_PUBLISH_DELETE_GUARD_H
#define EEFS_MASTER_PUBLISH_DELETE_GUARD_H

#include <stddef.h>

#include "sync/master/master.h"

struct delete_guard;

struct delete_guard *delete_guard_new(struct master *m);
void delete_guard_free(struct delete_guard *b);

/* --- the committer's thread --- */

/* The path has a row and is not there any more, or is no folder any more. */
void delete_guard_add(struct delete_guard *b, const char *path);
/* clock_mono_ms() of the next delete_guard_run(); INT64_MAX: nothing waits. */
int64_t delete_guard_due(struct delete_guard *b);
/* Within the transaction: publishes what may be. Number of paths or -errno of the database. */
int delete_guard_run(struct delete_guard *b);
/* After the commit of what delete_guard_run() published; `ok` false: it waits on. */
void delete_guard_committed(struct delete_guard *b, bool ok);
/* Decides with the next delete_guard_run(), not after a quiet second. */
void delete_guard_now(struct delete_guard *b);
/* Not now: the folder or the database is away. */
void delete_guard_put_off(struct delete_guard *b);
/* All that waits now is meant. */
void delete_guard_confirm(struct delete_guard *b);

/* --- any thread --- */

/* How many paths are held (0: none), and why (a sentence). */
int64_t delete_guard_held(struct delete_guard *b, char *why, size_t cap);
/* The folder has nothing left in it; `why` as above. */
bool delete_guard_emptied(struct delete_guard *b, char *why, size_t cap);

#endif
