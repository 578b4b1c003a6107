/* SPDX-License-Identifier: MIT */
/*
 * displace: takes a file out of the folder because a mirror replaced or removed it, without losing
 * what a local writer does to it at that moment.
 *
 * A read lease tells whether somebody has it open for writing, and holds up who opens it until
 * the new file is in place; who waits by then is let through to the old one, which gets its name
 * back. One who had looked up the old file but not opened it yet can still come later: so the
 * file stays linked in staging and is settled a little later (settle.h).
 *
 *   before   path → old      staging/over-X → new     (lease on old held)
 *   swap     path → new      staging/over-X → old     renameat2(RENAME_EXCHANGE): nothing is ever
 *   later    path → new      kept version, or gone    without a name
 *
 * On filesystems without leases only the settling sees such a writer. Committer's thread only.
 */
#ifndef EEFS_MASTER_DISPLACE_H
#define EEFS_MASTER_DISPLACE_H

#include "sync/master/master.h"

/*
 * Puts staging file `tmp` (content `now`) at `path` in the open folder `dir`, where `was` is.
 * -EBUSY: a local writer has that open, or it is another file by now: nothing was changed. `tmp`
 * holds PLACE_NAME_CAP bytes and is the staging file's name afterwards, unless 0 is returned.
 */
int displace_swap(struct master *m, char *tmp, int dir, const char *path, const struct row *was,
                  const struct hash *now);
/* Takes `was` away from `path`; -EBUSY as above, -ENOENT when it is gone. */
int displace_remove(struct master *m, int dir, const char *path, const struct row *was);
/*
 * For a rename over `path`: keeps what is there under a second name, to be settled. -EBUSY as
 * above. *ret_lease is a descriptor with the lease: close it after the rename.
 */
int displace_link(struct master *m, int dir, const char *path, const struct row *was,
                  const struct hash *now, int *ret_lease);

#endif
