/* SPDX-License-Identifier: MIT */
/*
 * rename_rows: the rows of renamed files and folders. Committer's thread, within its transaction;
 * all return 0 or -errno of the database.
 */
#ifndef EEFS_MASTER_PUBLISH_RENAME_ROWS_H
#define EEFS_MASTER_PUBLISH_RENAME_ROWS_H

#include <sys/stat.h>

#include "sync/master/db/tree.h"
#include "sync/master/master.h"
#include "sync/proto/op.h"

/* Writes the row of the file or link `from` for its new path `to`, whose stat is `st`; the path is
 * looked at again when the file is not as the row says. The old row stays. */
int rename_rows_put(struct master *m, const struct row *from, const char *to,
                    const struct stat *st);
/* Rows that were to be moved. */
struct lost_files {
    struct row *v;
    size_t n, cap;
};
void lost_files_release(struct lost_files *l);

/*
 * Tombstones `from` with all below and moves the rows below to `to`. `a` (may be NULL) gets all of
 * them. With `lost` a row is moved only when the file is at its new path as the row says; the rest
 * is looked at, and *lost (zeroed before) has those of files, as they were.
 */
int rename_rows_move(struct master *m, const char *from, const char *to, struct op_answer *a,
                     struct lost_files *lost);

#endif
