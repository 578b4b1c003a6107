/* SPDX-License-Identifier: MIT */
/*
 * volume: filesystems of their own below the root (another disk, a bind mount, a subvolume). A file
 * can be renamed within one only, so each has a staging of its own, `.eefs/staging` at its top.
 *
 *   root/                 .eefs/staging      one filesystem
 *   root/uploads/         .eefs/staging      another: its top is "uploads"
 *
 * A thread that works in one enters it: from then on root_staging_fd() is its staging for this
 * thread.
 *
 * The tops are kept in the file `volumes` beside staging. One that is not mounted any more is away:
 * everything below its top is unknown (visible_lstat(): -ESTALE), so nothing is published as
 * deleted or changed, until it is back or a person confirms that it is gone.
 */
#ifndef EEFS_MASTER_FOLDER_VOLUME_H
#define EEFS_MASTER_FOLDER_VOLUME_H

#include <stddef.h>

#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"

struct volumes;

struct volumes *volumes_new(struct folder *f);
void volumes_free(struct volumes *v);
/* Reads the list when the root has changed since the last call, and records which are away; those
 * that are back are scanned. Root monitor's thread; once before others start. */
void volumes_look(struct volumes *v);

/* Makes the mirrors ask for the list again when it differs from the one that they have. The root
 * monitor's thread, after each look. */
void volumes_tell(struct volumes *v);
/* Adds all tops to *ret, those that are away too. Any thread. */
void volumes_list(struct volumes *v, struct strlist *ret);

/* The top of the volume that `path`, or what of the way to it exists, lies on; malloc'd, "" is the
 * root's own filesystem. NULL: it cannot be looked at. */
char *volume_top(const struct folder *f, const char *path);
/* Enters the volume where `path` is, or whose top is `top`; NULL: the folder of --conflicts. 0;
 * -ESTALE: it is away; -errno: there can be no staging on it (and the root's is used). */
int volume_enter(struct folder *f, const char *path);
int volume_enter_top(struct folder *f, const char *top);
void volume_leave(struct folder *f);
/* Enters the volume of `path` (NULL: as above) with the staging file `tmp`, which is moved there
 * when it lies in another one's staging. 0; -EAGAIN: it has more than CARRY_AT_ONCE (carry.h)
 * bytes; -errno. Then it is removed. */
int volume_carry(struct folder *f, const char *tmp, const char *path);

/* The folder `dir` was met by a scan: its volume is known from now on. */
void volume_see(struct folder *f, const char *dir);
/* True when `path` lies on a volume that should be mounted and is not. Looks now. */
bool volume_away(const struct folder *f, const char *path);
/* True when another filesystem begins at `path`. */
bool volume_is_top(const struct folder *f, const char *path);
/* True when one that is known, there or away, begins somewhere below `path`. */
bool volume_is_below(const struct folder *f, const char *path);

/* Calls fn in each volume that is there, the root's own first, until it returns non-zero. */
int volumes_each(struct folder *f, int (*fn)(struct folder *f, const char *top, void *arg),
                 void *arg);

/* How many were away at the last look; a sentence about the first. */
int volumes_away(struct volumes *v, char *why, size_t cap);
/* Declares those that are away gone for good: their content counts as deleted. Returns their
 * number. */
int volumes_forget_away(struct volumes *v);

#endif
