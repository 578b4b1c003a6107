/* SPDX-License-Identifier: MIT */
/*
 * settle: files that were taken out of the folder (replace.h) wait here in staging until it is sure
 * that no local writer changes them any more: a few seconds, then nobody has it open for writing,
 * then its hash. Unchanged, it becomes a kept version (kept.h) or goes. Changed, the local edit
 * gets its path back and the mirror's version becomes a conflict copy; when the path has changed
 * since, the local edit becomes the copy. Files that an earlier run left in staging are settled in
 * the same way: their names hold all that is needed. Thread safe.
 */
#ifndef EEFS_MASTER_VERSIONS_SETTLE_H
#define EEFS_MASTER_VERSIONS_SETTLE_H

#include "sync/common/err.h"
#include "sync/master/master.h"

struct settle; /* the thread; the files that wait: folder/displaced.h */

int settle_start(struct master *m, struct settle **ret, struct err *e);
/* Files that are not settled yet stay in staging for the next start. */
void settle_stop(struct settle *s);
void settle_free(struct settle *s);

#endif
