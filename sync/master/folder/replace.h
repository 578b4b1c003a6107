/* SPDX-License-Identifier: MIT */
/*
 * replace: takes a file out of the folder because a mirror replaced or removed it, without losing a
 * local write to it at that moment.
 *
 * A read lease shows whether a writer has it open, and holds up new writers until the new file is
 * in place. A writer that waits by then gets the old file, which gets its name back. A writer that
 * had looked up the old file but not opened it yet can still come later: so the file stays linked
 * in staging and is settled a little later (settle.h).
 *
 *   before   path → old      staging/over-X → new     (lease on old held)
 *   swap     path → new      staging/over-X → old     renameat2(RENAME_EXCHANGE): nothing is ever
 *   later    path → new      kept version, or gone    without a name
 *
 * On filesystems without leases only the settling sees such a writer. Committer's thread only.
 */
#ifndef EEFS_MASTER_FOLDER_REPLACE_H
#define EEFS_MASTER_FOLDER_REPLACE_H

#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"

/*
 * Puts staging file `tmp` (content `now`) at `path` in the open folder `dir`, where `was` is.
 * -EBUSY: a local writer has that open, or it is another file by now: nothing was changed. `tmp`
 * holds STAGING_NAME_CAP bytes and is the staging file's name afterwards; "" when it has gone:
 * placed (0), or overwritten by a local file at that moment (-EAGAIN).
 */
int replace_file(struct folder *f, char *tmp, int dir, const char *path, const struct row *was,
                 const struct hash *now);
/* Takes `was` away from `path`; -EBUSY as above, -ENOENT when it is gone. */
int replace_remove(struct folder *f, int dir, const char *path, const struct row *was);
/*
 * Renames `from` (a name in the open folder `a`) over `path` in `dir`, where the file `was` is:
 * exchanged first, then what has come to `from` is taken out. -EBUSY as above. `now` is the content
 * that comes to `path`.
 */
int replace_rename(struct folder *f, int a, const char *from, int dir, const char *path,
                   const struct row *was, const struct hash *now);

#endif
