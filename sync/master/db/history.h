/* SPDX-License-Identifier: MIT */
/*
 * history: the versions that a path had before: one row for each content that was replaced or
 * deleted, whether its bytes are kept (kept.h) or not. The seq of a version is that of its last
 * row; `until` is the seq that ended it. Dumps (everything below `sql/`) have no history: they are
 * replaced all the time.
 */
#ifndef EEFS_MASTER_DB_HISTORY_H
#define EEFS_MASTER_DB_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/db.h"

struct version {
    int64_t seq, until;
    int64_t size;
    int64_t mtime; /* ns */
    uint32_t mode;
    struct hash hash;
    int64_t ended; /* wall ns */
};

/* False for paths without history. */
bool history_wants(const char *path);

/* Adds a version: the row of `path`, if it is a file's, is about to get another content (none:
 * deleted) with the change `until`. Within the tree's transaction. 0 or -errno. */
int history_end(struct db *db, const char *path, const struct hash *next, int64_t until);

/* Versions of `path` that have ended, newest first; stops when fn returns false. 0 or -errno. */
int history_each(struct db *db, const char *path, bool (*fn)(void *arg, const struct version *v),
                 void *arg);
/* 1, 0 or -errno. */
int history_get(struct db *db, const char *path, int64_t seq, struct version *ret);
/* 1 when `path` had the content `hash` with that mtime (ns) at some time after it had `before`, and
 * neither now; 0 or -errno. */
int history_followed(struct db *db, const char *path, const struct hash *before,
                     const struct hash *hash, int64_t mtime);
/* Paths below the folder `dir` that are gone and have versions, in byte order. 0 or -errno. */
int history_deleted(struct db *db, const char *dir, bool (*fn)(void *arg, const char *path),
                    void *arg);

/*
 * Calls fn for versions that ended before `before` (wall ns), and of each path for all but the
 * newest `per_path`; stops when it returns false. Reads the whole table: use a connection for which
 * no other thread waits. 0 or -errno.
 */
int history_outdated(struct db *db, int64_t before, int64_t per_path,
                     bool (*fn)(void *arg, const char *path, int64_t seq), void *arg);
/* The number of versions, and of those whose content neither the store nor a live file has. 0 or
 * -errno. */
int history_count(struct db *db, int64_t *versions, int64_t *lost);
/* 0 or -errno. */
int history_forget(struct db *db, const char *path, int64_t seq);

#endif
