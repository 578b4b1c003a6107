/* SPDX-License-Identifier: MIT */
/*
 * watch: inotify(7) over the whole root, one watch per folder. Events become looks (index.h).
 * Watches are added before the folder is listed, so nothing falls between.
 */
#ifndef EEFS_MASTER_WATCH_H
#define EEFS_MASTER_WATCH_H

#include "sync/master/master.h"

int watch_start(struct master *m, struct watch **ret, struct err *e);
void watch_stop(struct watch *w);
/* Watches one folder. Any thread. Says once when the limit is reached. */
void watch_add(struct watch *w, const char *path);
/* True when some folder could not be watched: changes there are found by the periodic scan only. */
bool watch_limited(struct watch *w);

#endif
