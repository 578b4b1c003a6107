/* SPDX-License-Identifier: MIT */
/*
 * delete_guard: a deletion in the folder waits here before it is published, until it is clear that
 * it is intentional. A deletion is published about a second after the last one of its burst. More
 * than --max-delete and more than 20 % of all files within a minute, or an emptied folder, are
 * held: until the files are back, or `eefs-master confirm`.
 *
 * After a restart the scan finds held deletions again. Deletions by mirrors do not pass here.
 *
 * A folder that was put back to an earlier state (root.h) lacks files that nobody deleted: until
 * that is confirmed, or a whole scan has missed nothing, each deletion is held (meta.h: hold).
 */
#ifndef EEFS_MASTER_PUBLISH_DELETE_GUARD_H
#define EEFS_MASTER_PUBLISH_DELETE_GUARD_H

#include <stddef.h>

#include "sync/master/master.h"

struct delete_guard;
struct row;

struct delete_guard *delete_guard_new(struct master *m);
void delete_guard_free(struct delete_guard *b);

/* --- the committer's thread --- */

/* The path has a row and is not there any more, or is no folder any more. */
void delete_guard_add(struct delete_guard *b, const char *path);
/* clock_mono_ms() of the next delete_guard_run(); INT64_MAX: nothing waits. */
int64_t delete_guard_due(struct delete_guard *b);
/* Within the transaction: publishes the deletions that are due. Number of paths or -errno of the
 * database. */
int delete_guard_run(struct delete_guard *b);
/* After the commit of the deletions of delete_guard_run(); `ok` false: they keep waiting. */
void delete_guard_committed(struct delete_guard *b, bool ok);
/* Makes the next delete_guard_run() decide, without a quiet second. */
void delete_guard_now(struct delete_guard *b);
/* Postpones: the folder or the database is away. */
void delete_guard_put_off(struct delete_guard *b);
/* Within the transaction: confirms all waiting deletions as intentional, and ends the hold. 0 or
 * -errno of the database. */
int delete_guard_confirm(struct delete_guard *b);
/* Within the transaction: a scan has ended, and all that it found was queued before. 0 or -errno. */
int delete_guard_scanned(struct delete_guard *b);

/* Calls fn with the live rows of all that is held. 0 or -errno of the database. */
int delete_guard_each_held(struct delete_guard *b, void (*fn)(void *arg, struct row *row),
                           void *arg);

/* --- any thread --- */

/* Holds each deletion, for the reason `why` (a sentence without its end; "": no more), until it is
 * confirmed or `scans` scans have ended without one that is missing. The caller keeps the reason in
 * the database, under the name DELETE_GUARD_HOLD, for the next start. */
#define DELETE_GUARD_HOLD "hold"
void delete_guard_hold(struct delete_guard *b, const char *why, int scans);

/* The number of held paths (0: none), and the reason (a sentence). */
int64_t delete_guard_held(struct delete_guard *b, char *why, size_t cap);
/* True when the folder is empty now; `why` as above. */
bool delete_guard_emptied(struct delete_guard *b, char *why, size_t cap);

#endif
