/* SPDX-License-Identifier: MIT */
/*
 * adopt: a folder without a marker (root.h) becomes the master's folder again, after its `.eefs` was
 * removed, or after it was put back from a backup that left that out. The folder is compared with the
 * database first. It counts as put back then: what it lacks is held, and nothing else is lost (tokens,
 * scopes, history).
 */
#ifndef EEFS_MASTER_RECOVERY_ADOPT_H
#define EEFS_MASTER_RECOVERY_ADOPT_H

#include <jansson.h>
#include <stdbool.h>

#include "sync/common/err.h"
#include "sync/master/master.h"

/*
 * Compares the folder with the database and, unless `dry_run`, marks it. *ret is a new reference:
 *   {"marked":was it marked already,"equal":N,"changed":N,"new":N,"missing":N,"shown":[["missing",path],…]}
 * with the number of files and links, and some names (encoded). Files whose mtime differs are read.
 * Any thread but the committer's; waits for the filesystem. 0 or -errno with e.
 */
int adopt(struct master *m, bool dry_run, json_t **ret, struct err *e);

#endif
