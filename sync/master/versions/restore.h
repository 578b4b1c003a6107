/* SPDX-License-Identifier: MIT */
/* restore: restores a version of a path into the folder, as an ordinary new change: the present
 * file becomes a version itself. */
#ifndef EEFS_MASTER_VERSIONS_RESTORE_H
#define EEFS_MASTER_VERSIONS_RESTORE_H

#include "sync/common/err.h"
#include "sync/master/master.h"

/*
 * Any thread but the committer's. `seq` is that of a version (history.h). The file gets that
 * version's mode, the owner of files that mirrors write (install_owner), and the present time as
 * mtime, for readers that compare it. *ret_seq: of the new change. Errors are for people: no such
 * version, its content is not kept (any more), a folder is in the way, a writer has the file open,
 * …
 */
int restore_version(struct master *m, const char *path, int64_t seq, int64_t *ret_seq,
                    struct err *e);

#endif
