/* SPDX-License-Identifier: MIT */
/*
 * settle: files that were taken out of the folder (displace.h) wait here in staging until it is
 * sure that no local writer changes them any more: a few seconds, then nobody has it open for
 * writing, then its hash. Unchanged, it becomes a kept version (keep.h) or goes. Changed, the local
 * edit gets its path back and the mirror's version becomes a conflict copy; when the path has
 * changed since, the local edit becomes the copy. What is left in staging by an earlier run is
 * settled like that, too: its name says what it was. Thread safe.
 */
#ifndef EEFS_MASTER_VERSIONS_SETTLE_H
#define EEFS_MASTER_VERSIONS_SETTLE_H

#include "sync/master/master.h"

struct settling; /* the files that wait, and the thread that settles them */

int settling_start(struct master *m, struct settling **ret, struct err *e);
/* What is not settled yet stays in staging for the next start. The committer may go on adding to it
 * until it has stopped; only then free. */
void settling_stop(struct settling *s);
void settling_free(struct settling *s);

/* A name in staging for what is taken from `path`, `was`, when `now` (none: nothing) is put there.
 * `out` holds PLACE_NAME_CAP bytes. */
void settle_name(const char *path, const struct hash *was, const struct hash *now, char *out);
/* The file `was` is in staging under that name. */
void settle_later(struct settling *s, const char *name, const char *path, const struct row *was,
                  const struct hash *now);

#endif
