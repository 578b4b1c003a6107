/* SPDX-License-Identifier: MIT */
/*
 * recheck: the thread that retries paths that failed with EIO (trouble_look_again), so that a
 * disk's fault is reported as long as it lasts; and functions that test a disk at a path. A failing
 * disk may hold a test for minutes: only recheck_stop() waits for this thread.
 *
 * The tests record nothing in the ledger of trouble.h.
 */
#ifndef EEFS_COMMON_RECHECK_H
#define EEFS_COMMON_RECHECK_H

#include "sync/common/trouble.h"

struct recheck;

/* fn(arg, path) is called in the thread. 0 or -errno. */
int recheck_start(trouble_try_fn *fn, void *arg, struct recheck **ret);
/* Joins the thread and frees it; NULL is fine. */
void recheck_stop(struct recheck *r);

/* Reads the whole file, folder or link at `path`; of another kind of file its attributes. 0, also
 * when it does not exist (any more), or cannot be read for a reason other than the disk; else
 * -errno. Not for a file that has locks of this process (a database's): closing it ends them. */
int recheck_read(const char *path);
/* Writes, syncs and removes a small file in `folder`, as for recheck_read(). 0 also when there is
 * no space for it, or no such folder. */
int recheck_write(const char *folder);
/* The same in the folder that `path` is or lies in. */
int recheck_write_beside(const char *path);
/* True when `path` is the database `db` or one of the files beside it. */
bool recheck_is_database(const char *path, const char *db);

#endif
