/* SPDX-License-Identifier: MIT */
/*
 * watch: inotify(7) over the whole root, one watch per folder. Events become looks (scan_queue.h).
 * Watches are added before the folder is listed, so no change is missed.
 */
#ifndef EEFS_MASTER_SCAN_WATCH_H
#define EEFS_MASTER_SCAN_WATCH_H

#include "sync/common/err.h"
#include "sync/master/master.h"

/* Without an inotify instance it starts all the same: watch_limited() then gives the reason. */
int watch_start(struct master *m, struct watch **ret, struct err *e);
void watch_stop(struct watch *w);
/* Watches one folder. Any thread. Logs once when the limit is reached. */
void watch_add(struct watch *w, const char *path);
/* Forgets all folders: the path has another root now. */
void watch_reset(struct watch *w);
/* A full scan tries every folder again: how many fail is counted from its begin to its end. */
void watch_scan_begins(struct watch *w);
void watch_scan_ended(struct watch *w);
/*
 * The number of folders that cannot be watched: only the periodic scan finds changes there. When
 * not 0, the reason and the remedy are copied into why and action (NULL, 0: not asked for).
 */
int64_t watch_limited(struct watch *w, char *why, size_t why_cap, char *action, size_t action_cap);
int64_t watch_folders(struct watch *w);

#endif
