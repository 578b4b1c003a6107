/* SPDX-License-Identifier: MIT */
/*
 * tree: the master's tree in SQLite: one row per path with its newest seq; a tombstone is a row of
 * type ENTRY_GONE that keeps the last hash. Next to it the timelines.
 *
 * Reading functions take any connection of the database; struct tree is the one writer's (the
 * committer's thread) and hands out seqs.
 */
#ifndef EEFS_MASTER_DB_TREE_H
#define EEFS_MASTER_DB_TREE_H

#include <sys/stat.h>

#include "sync/common/db.h"
#include "sync/common/opt.h"
#include "sync/proto/cursor.h"
#include "sync/proto/entry.h"

/* An entry with the master's knowledge of its file. */
struct row {
    struct entry e;
    int64_t ino, dev, ctime; /* as of the last look */
    int64_t seen;            /* wall ns when the content was read */
};

void row_release(struct row *r);

/* The row of a path, tombstones too: 1, 0 (none) or -errno. */
int tree_get(struct db *db, const char *path, struct row *ret);
/* A query of the live children of `dir` in byte order of their names, for db_step(). */
sqlite3_stmt *tree_children(struct db *db, const char *dir);
/* Its present row, with only the fields that are compared with the file; owns nothing. *name is
 * valid until the next step. */
void tree_child(sqlite3_stmt *st, struct row *ret, const char **name);
/* 1 when `dir` has a live child, 0, -errno. */
int tree_has_children(struct db *db, const char *dir);
/* Live files at and below `path` that have no other name in the tree (as after a rename). 0 or
 * -errno. */
int tree_count_lost(struct db *db, const char *path, int64_t *ret);
/* Fills *ret from a row of a query with TREE_COLUMNS; for the files of this folder. */
#define TREE_COLUMNS                                                                               \
    "dir,name,type,size,mtime,mode,hash,target,seq,moved_from,ino,dev,ctime,seen,hides"
void tree_row(sqlite3_stmt *st, struct row *ret);
/* As tree_each_since(), with the rows of such a query. */
int tree_each_row(struct db *db, sqlite3_stmt *st, bool (*fn)(void *arg, struct row *row),
                  void *arg);
/* Calls fn for each row, tombstones too, that changed after `seq`, in the order of the changes, until
 * it returns false. The row is released after it; fn may move it away and leave zeros. 1 (fn ended
 * it), 0 (at the end) or -errno. */
int tree_each_since(struct db *db, int64_t seq, bool (*fn)(void *arg, struct row *row), void *arg);
/* The live rows below the folder `dir` in *ret, an array of *n, which the caller releases one by one
 * and frees, after a failure too. 0 or -errno. */
int tree_below(struct db *db, const char *dir, struct row **ret, size_t *n);
/* The seq of the newest row; 0: there is none. 0 or -errno. */
int tree_last_seq(struct db *db, int64_t *ret);
/* 1 when a live file has that content, 0, -errno. */
int tree_has_hash(struct db *db, const struct hash *h);
/* The path of a file, live or gone, for which `fits` returns true, the newest first: malloc'd in
 * *ret. Reads all of them. 1, 0 or -errno. */
int tree_find_path(struct db *db, bool (*fits)(void *arg, const char *path), void *arg, char **ret);
/* A live file with that content: calls `fits` for each path until it returns true, fills *ret.
 * 1, 0 or -errno. */
int tree_find_hash(struct db *db, const struct hash *h, bool (*fits)(void *arg, const char *path),
                   void *arg, struct row *ret);

/* A live file with that content that was moved from `from`, at once or by way of other names: a
 * tombstone keeps moved_from. 1, 0 or -errno. */
int tree_find_moved(struct db *db, const char *from, const struct hash *h, struct row *ret);

/* A live row of a file or folder with that inode for which `fits` returns true. 1, 0 or -errno. */
int tree_find_inode(struct db *db, int64_t ino, bool (*fits)(void *arg, const struct row *row),
                    void *arg, struct row *ret);

/* True when the timeline is known and `seq` not beyond its end; `current` ends at `head`. */
bool tree_knows(struct db *db, const char *timeline, int64_t seq, const char *current,
                int64_t head);

/* All timelines but one become unknown to tree_knows(): every mirror lists the tree anew and compares.
 * Within a transaction. 0 or -errno. */
int tree_void_timelines(struct db *db, const char *but);

/* When the cursor is unknown because this master, or its folder, has gone back in time: adds to the
 * answer what tells the mirror how far both know the same (wire.h: reset). */
void tree_explain_reset(struct db *db, const struct cursor *c, const char *current, int64_t head,
                        json_t *o);

/* Live rows. */
struct tree_total {
    int64_t entries, files, bytes;
};

/* As of the last commit. 0 or -errno. */
int tree_total(struct db *db, struct tree_total *ret);

struct tree {
    struct db *db;
    int64_t seq, committed; /* last one given out, and last one committed */
    struct tree_total more; /* in this transaction */
    struct strlist touched; /* folders in which names came, went or were replaced; publish.h */
};

/*
 * A transaction of the writer, from tree_begin() to tree_commit() or tree_rollback(); one that is
 * not committed gives its seqs back. Only the committer calls all three (and serve.c before it
 * starts the committer). Code that works within its transaction and changes files in the folder,
 * which cannot be rolled back, commits with tree_step(). 0 or -errno; tree_commit() rolls back when
 * it fails.
 */
int tree_begin(struct tree *t);
int tree_commit(struct tree *t);
void tree_rollback(struct tree *t);
/* Commits what was written so far, and goes on in a new transaction. 0 or -errno: no transaction is
 * open, the caller returns that to the committer. */
int tree_step(struct tree *t);

/* Reads the last seq, closes the previous timeline there and opens a new one (into `timeline`, 17
 * bytes). `id` (33 bytes): the master's id; a new database takes the one that is in `id`, or makes
 * one when that is "". *known: it has a tree. */
int tree_start(struct tree *t, char *timeline, char *id, bool *known, struct err *e);

/* Writes the row with a new seq (also into r->e.seq); a content that it replaces becomes a version
 * (history.h), as with tree_remove(). */
int tree_put(struct tree *t, struct row *r);
/* The same without a new seq: only the master's knowledge of the file. */
int tree_touch(struct tree *t, const struct row *r);
/* Tombstones the path and everything below it that is live. Number of tombstones or -errno. */
int tree_remove(struct tree *t, const char *path);

/* Copies the file's stat into the row (size, mtime, mode, ino, dev, ctime; type by S_IFMT). */
void row_from_stat(struct row *r, const struct stat *st);
/* True when the row was made from exactly this file state. */
bool row_matches(const struct row *r, const struct stat *st);

#endif
