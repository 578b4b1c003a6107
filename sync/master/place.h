/* SPDX-License-Identifier: MIT */
/*
 * place: puts contents from mirrors into the folder so that nobody ever sees half of one: a
 * temporary file in staging, attributes, fsync, rename, fsync of the folder. Committer's thread
 * only.
 */
#ifndef EEFS_MASTER_PLACE_H
#define EEFS_MASTER_PLACE_H

#include "sync/master/master.h"

#define PLACE_NAME_CAP 64

/* An unused name in staging. */
void place_name(char *out);
/* Writes a staging file. 0 or -errno; nothing is left behind on failure. */
int place_data(struct master *m, const char *tmp, const void *data, size_t len);
/* Copies a served file into a staging file and checks its hash: -ENOENT when it is another. */
int place_copy(struct master *m, const char *tmp, const char *path, const struct hash *hash);
/* Creates missing folders on the way to `path`. -ENOTDIR: something else is in the way. */
int place_parents(struct master *m, const char *path);
/*
 * Sets mode, mtime and owner, syncs, renames staging file `tmp` to `path` (over a file there when
 * `over`, else -EEXIST) and syncs the folder. *st is the file's stat afterwards. On failure tmp is
 * removed.
 */
int place_file(struct master *m, const char *tmp, const char *path, bool over, mode_t mode,
               int64_t mtime, struct stat *st);
/* Opens the folder that holds `path`. */
int place_open_parent(const struct master *m, const char *path);
/* mode and mtime (-1: leave) of a file or folder; never of a link (-ELOOP). */
int place_attrs(const struct master *m, const char *path, int64_t mode, int64_t mtime);

#endif
