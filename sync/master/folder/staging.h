/* SPDX-License-Identifier: MIT */
/*
 * staging: files that are not visible yet, on the filesystem where they will get a name.
 * Committer's thread; the carrier's (carry.h) copies, too.
 */
#ifndef EEFS_MASTER_FOLDER_STAGING_H
#define EEFS_MASTER_FOLDER_STAGING_H

#include "sync/common/hash.h"
#include "sync/master/folder/folder.h"

#define STAGING_NAME_CAP 168 /* "over-…" of replace.c is the longest */

/* An unused name in staging. */
void staging_name(char *out);
/* True for such a name. */
bool staging_is_name(const char *name);
/* Writes a staging file. 0 or -errno; nothing is left behind on failure. */
int staging_write(struct folder *f, const char *tmp, const void *data, size_t len);
/* Copies a served file into a staging file and checks its hash: -ENOENT when it is another. */
int staging_copy(struct folder *f, const char *tmp, int dir, const char *path,
                 const struct hash *hash);
/* Makes a link in staging; mtime NULL: now. Nothing is left behind on failure. */
int staging_link(const struct folder *f, const char *tmp, const char *target, const int64_t *mtime);
/* Exchanges staging file `name` ("over-…") and `base` in the open folder `dir`. 0 or -errno. */
int staging_exchange(int staging, const char *name, int dir, const char *base);
void staging_discard(struct folder *f, const char *tmp);
/* Opens the folder that holds `path`. */
int staging_open_parent(const struct folder *f, const char *path);

#endif
