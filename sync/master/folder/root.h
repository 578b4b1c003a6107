/* SPDX-License-Identifier: MIT */
/*
 * root: the served folder as an open descriptor, with its marker. `.eefs/` in it (0700) holds the
 * file `marker` (the id of the master that owns the folder), `lock`, held while it is served, and,
 * unless --store names another place (private_dir.h), `staging/`, on the same filesystem as what it
 * becomes, and `kept/`. A folder that vanished, was emptied,
 * mounted over or replaced has no such marker behind the same path: then nothing is published until
 * it is back.
 *
 * The marker also has the folder's epoch, a number that moves on with each start and each hour
 * (epoch.h). A marker that is behind the database's epoch is that of a folder that was put back: from
 * a backup, or as a snapshot. Nothing is published then, for what is missing in it was not deleted.
 */
#ifndef EEFS_MASTER_FOLDER_ROOT_H
#define EEFS_MASTER_FOLDER_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "sync/common/err.h"
#include "sync/master/folder/root.h"

struct root;

#define ROOT_HIDDEN ".eefs"

/* The id of the master that the folder belongs to, into `id` (33 bytes); "" when it has none. */
void root_owner(const char *path, char *id);
/*
 * Opens `path` for the master `id`; store: folder of --store, absolute, or NULL. With `known` (the
 * database has a tree already) a folder that is missing or has no marker is no error: root_ok()
 * then reports the reason until it is back. `epoch`: the database's; 0: none.
 */
int root_open(const char *path, const char *store, const char *id, bool known, int64_t epoch,
              struct root **ret, struct err *e);
void root_close(struct root *r);
/* Stays the same number for life; a folder that came back is put behind it, and while it is away
 * something that is no folder. */
int root_fd(const struct root *r);
/* Folder for staging: of the filesystem that this thread works on (volume.h). Same life. */
int root_staging_fd(const struct root *r);
/* That of the root's own filesystem. */
int root_own_staging_fd(const struct root *r);
/* From now on root_staging_fd() is `fd` for this thread, or with -1 the root's own again; returns
 * what it was, -1 for that. The caller keeps the descriptors. */
int root_use_staging(struct root *r, int fd);
/* Folder that holds staging and kept versions: `.eefs`, or that of --store. Same life. */
int root_private_fd(const struct root *r);
const char *root_path(const struct root *r);
/* Looks at the folder now: true when it is there and belongs to this master. Any thread; hangs as
 * long as the filesystem does. */
bool root_check(struct root *r);
/* The folder is there and has no marker; as root_was_put_back(). */
bool root_lacks_marker(struct root *r);
/* The folder was found put back by the last look. Any thread; never waits for the filesystem. */
bool root_was_put_back(struct root *r);
/* Marks a folder without a marker as this master's, with epoch 0, so that it counts as put back. 0
 * (also when it had the marker) or -errno. Waits for the filesystem, as root_advance(). */
int root_adopt(struct root *r, struct err *e);
/* Gives the marker the next epoch, in *ret; a folder that was put back is accepted with that. 0 or
 * -errno. */
int root_advance(struct root *r, int64_t *ret, struct err *e);
/* The epoch of the folder. Any thread. */
int64_t root_epoch(const struct root *r);
/* The time (ms) that the present look has had no answer; 0: none is running. */
int64_t root_silent_ms(const struct root *r);
/* Counts the folders that were put behind root_fd(): another number, another folder (or again the
 * same). */
int root_generation(const struct root *r);
/* For how long (ns) a file with this `st` has not been changed, by the clock that its filesystem
 * writes into it: a file server has its own clock. Any thread; waits for the filesystem. */
int64_t root_age_ns(struct root *r, const struct stat *st);
/* True when its filesystem does not distinguish names that differ only by case. */
bool root_folds_case(const struct root *r);
/* True when root_fd() is a folder now: a path that was not found beneath it does not exist. */
bool root_is_there(const struct root *r);
/* The result of the last look, and its reason (a sentence, copied into out); false, too, while a
 * look has been without an answer for ROOT_SILENT_MS. Never waits for the filesystem. */
#define ROOT_SILENT_MS 5000
bool root_ok(struct root *r, char *out, size_t cap);
/* True when the last look failed because the disk below the folder gave EIO. Any thread; never
 * waits for the filesystem. */
bool root_disk_fails(struct root *r);

#endif
