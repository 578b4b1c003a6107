/* SPDX-License-Identifier: MIT */
/*
 * db: shared by the files of this room: the replica's struct, its transactions, its pool of
 * readers, the rows of base and overlay, and the log. No other room includes it.
 *
 * Locks, in this order: checkpoint_lock → lock → scope_lock, pool_lock; but for renew.c, pool_lock
 * and checkpoint_lock are taken alone. Functions that take a `struct db *` run on the caller's
 * connection: the writer's (with `lock` held, inside tx_begin and tx_end) or one from reader_get().
 */
#ifndef EEFS_MIRROR_REPLICA_DB_H
#define EEFS_MIRROR_REPLICA_DB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/common/db.h"
#include "sync/common/path.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/replica/replica.h"

#define READERS_MAX 16
#define ROOT_INO    1

/* Values in memory that a transaction changes; restored when it fails. */
struct counters {
    int64_t next_opid, next_ino, root_mtime;
    int64_t entries, bytes; /* of the view; not persisted */
};

struct unsent;

/* What the last reset said (lost.c); seqs. */
struct lost_time {
    bool known;
    int64_t common, put_back;
    int64_t epoch; /* of the master's folder */
};

struct replica {
    atomic_bool read_only;
    atomic_bool folder_times; /* the master reports folder times (wire.h, hello) */
    bool put_back;            /* changes are to be restored; until threads start, or while shut */
    char *cache, *path;       /* the folder, and the database in it */
    atomic_bool shut;         /* its database is being rebuilt (renew.c) … */
    pthread_t renewer;        /* … by this thread; constant while shut */
    struct drafts {           /* new files that are open, by path; the renewer's */
        struct strlist paths;
        uint32_t *modes;
    } drafts;

    pthread_mutex_t lock; /* the writer's connection and the counters */
    struct db *db;
    struct counters now, saved;
    struct lost_time lost_time;
    replica_moved_fn *moved; /* constant, as moved_arg */
    void *moved_arg;
    struct unsent *unsent; /* the second record of unsent changes */
    int wal_pages;         /* of the log, after the last commit */
    int reserve_pages;     /* that are allocated for it; constant */

    pthread_mutex_t checkpoint_lock;
    struct db *checkpoint_db;

    pthread_mutex_t pool_lock;
    pthread_cond_t pool_free;
    struct db *idle[READERS_MAX];
    int n_idle, n_open;

    /* Copies of `now` for readers without the lock. */
    _Atomic int64_t root_mtime, entries, bytes;
    _Atomic uint64_t generation; /* counts transactions and loads */

    replica_has_fn *has; /* constant after start; NULL: all contents are here */
    void *has_arg;

    pthread_mutex_t scope_lock; /* the five below */
    bool remote_known;
    char *master_id;
    struct scope scope;
    struct strlist exclude;
    struct strlist volumes; /* tops of the master's filesystems below its root */
};

/* --- transactions and connections (db.c) --- */

/* Takes the lock and begins. 0 or -errno (then the lock is not held); -EUCLEAN while the database
 * is being rebuilt, except for the thread that rebuilds it, as in reader_get(). */
int tx_begin(struct replica *r);
/* The same for changes that may be refused or can wait: -ENOSPC already when the disk is full and
 * the log's reserve is nearly used, so that the outbox can still be emptied, which frees space. */
int tx_begin_spare(struct replica *r);
/*
 * Commits when rc >= 0, else rolls back; releases the lock. `point` is the crash point after the
 * commit. Returns rc or the commit's -errno.
 */
int tx_end(struct replica *r, int rc, const char *point);

/* Moves the log into the database, unless another thread is at it. Without the lock. */
void tx_checkpoint(struct replica *r);
/* After a database was opened: tracks the length of its log from here on. */
void tx_watch_log(struct replica *r);

/* Counts the view; in a transaction. 0 or -errno. */
int replica_recount(struct replica *r);

/* A reader's connection; waits when all are in use. 0 or -errno. */
int reader_get(struct replica *r, struct db **ret);
void reader_put(struct replica *r, struct db *db);

/* While the database is being rebuilt, only the rebuilding thread gets in. */
bool replica_keeps_out(struct replica *r);
/* Opens the database at r->path, also in place of one that was unloaded. 0, or -errno with e. */
int replica_load(struct replica *r, struct err *e);
/* Closes all that replica_load() and readers opened; nobody uses it, or is kept out. */
void replica_unload(struct replica *r);

/* --- single values (meta.c) --- */

/* malloc'd value or "" */
char *meta_get(struct db *db, const char *key);
/* `none`: where there is no value. */
int64_t meta_get_int(struct db *db, const char *key, int64_t none);
int meta_set(struct db *db, const char *key, const char *value);
int meta_set_int(struct db *db, const char *key, int64_t value);
/* meta_set, unless it has that value. */
int meta_keep(struct db *db, const char *key, const char *value);

/* --- rows (rows.c) --- */

/* A row of base or overlay, or the view. `target` is owned. */
struct row {
    bool exists; /* false: no row, or (in a view) absent */
    int type;    /* enum entry_type; ENTRY_GONE in overlay and tombstones */
    int64_t size, mtime, mode;
    int64_t atime, ctime; /* replica.h */
    struct hash hash;
    char *target;
    bool hides; /* entry.h */
    uint64_t ino;
    int64_t opid;   /* overlay: its operation; 0: from the base */
    int64_t seq;    /* base only */
    bool own;       /* base only: made by this mirror */
    int64_t cookie; /* in a listing only: cookie_of() its name */
};

void row_release(struct row *row);
/* A change happened to it now. */
void row_stamp(struct row *row);
/* True when a person or program could see a difference other than atime and ctime. */
bool row_same(const struct row *a, const struct row *b);
void row_attr(const struct row *row, struct node_attr *ret);
int64_t row_bytes(const struct row *row);

/* The view of a path; ret->exists says whether it is there. 0 or -errno. */
int view_get(struct db *db, const char *path, struct row *ret);
/* As view_get, -ENOENT when absent; the root is a folder. */
int view_need(struct replica *r, struct db *db, const char *path, struct row *ret);
/* 0 when `path`'s parent is a folder of the view, -ENOENT or -ENOTDIR. */
int view_check_parent(struct db *db, const char *path);
/* Children of the view in the order of cookies, then names, from cookie `from` on, until fn returns
 * non-zero, which is returned; the caller has a read or write transaction. Not `whole`: of a row,
 * type, ino, opid and cookie only. */
typedef int view_fn(void *arg, const char *name, const struct row *row);
int view_each(struct db *db, const char *dir, int64_t from, bool whole, view_fn *fn, void *arg);
/* 1: has children, 0: none, -errno. */
int view_has_children(struct db *db, const char *dir);

int base_get(struct db *db, const char *path, struct row *ret);
int base_put(struct db *db, const char *path, const struct row *row);
int base_delete(struct db *db, const char *path);

int overlay_get(struct db *db, const char *path, int64_t opid, struct row *ret);
int overlay_put(struct db *db, const char *path, int64_t opid, const struct row *row);
int overlay_put_gone(struct db *db, const char *path, int64_t opid);
int overlay_delete(struct db *db, const char *path, int64_t opid);
/* Moves one row to another path and operation. */
int overlay_move(struct db *db, const char *from, int64_t opid, const char *to, int64_t to_opid);

/* Writes atime and ctime of v, the view of `path`, into its row. */
int view_set_times(struct db *db, const char *path, const struct row *v);
/* Sets mtime and ctime of the top row of a folder (or of the root) to now. */
int touch_folder(struct replica *r, const char *path);
int touch_parent(struct replica *r, const char *path);

/* Bounds of the paths strictly below `dir` in column "dir": dir itself is compared with =. */
struct subtree {
    char *from, *to; /* dir >= from AND dir < to */
};
void subtree_init(struct subtree *s, const char *dir);
void subtree_release(struct subtree *s);

/* --- folders that local entries keep (implicit_dirs.c) --- */

/*
 * A folder went out of the view although overlay entries live below it: gives it an overlay row
 * that goes with the last of their operations. Does nothing when there are none.
 */
int implicit_dirs_keep(struct replica *r, const char *path, const struct row *was);

/*
 * Called after operation `opid` was taken out of the log, and its own row out of the overlay or to
 * another number: other entries in the folders that it kept keep them now, else the folders are
 * logged as made here. So they neither vanish in the middle of a local change nor outlive their
 * reason.
 */
int implicit_dirs_on(struct replica *r, int64_t opid);

/* --- operations (oplog.c) --- */

/* One row of the outbox. */
struct outbox_row {
    struct op op;
    char state; /* STATE_* */
};

/* Kept as one letter in the database. */
#define STATE_OPEN        'o'
#define STATE_QUEUED      'q'
#define STATE_SENT        's'
#define STATE_QUARANTINED 'x'
#define STATE_DEFERRED    'd' /* set aside by push; retried automatically */

void outbox_row_release(struct outbox_row *o);
/* 1: found, 0: none, -errno */
int outbox_get(struct db *db, int64_t opid, struct outbox_row *ret);
/* Reads the columns OUTBOX_COLS of a stepped statement. */
int outbox_read(sqlite3_stmt *st, struct outbox_row *ret);
#define OUTBOX_COLS                                                                                \
    "opid,kind,path,to_path,target,hash,size,mtime,mode,pre,to_pre,state,has_mtime,umask,known"
int outbox_delete(struct db *db, int64_t opid);
/* The operation with all its overlay rows. */
int outbox_drop(struct db *db, int64_t opid);
/* Also in place of the operation with that number, whose reason for a delay stays. */
int outbox_insert(struct db *db, const struct op *op, char state);
/* Logs op as the next one (its n is filled in) and lays `row` (NULL: gone) over its path. */
int outbox_log(struct replica *r, struct op *op, char state, const struct row *row);
/* Records that operation `from` goes on as `to`: waits for the one become waits for the other. */
int outbox_renumbered(struct db *db, int64_t from, int64_t to);

/* The log's last operation on `path` itself, of which the view is v, if it may still be rewritten.
 * 1: yes, 0: no. */
int outbox_rewritable(struct db *db, const char *path, const struct row *v, struct outbox_row *ret);

/* 1: the log has an operation strictly below `path`. */
int log_below(struct db *db, const char *path);

/* --- outbox.c, remove.c --- */

/* Adds to the counts of entries and bytes of the view. */
void view_count(struct replica *r, int64_t entries, int64_t bytes);

/* The precondition of an operation at `path`, which is v here: this mirror's last content that is
 * under way, else the one that its user saw there (NULL or none: v). */
int seen_pre(struct db *db, const char *path, const struct row *v, const struct hash *seen,
             struct pre *ret);
/*
 * Drops the unsent operations that made v, as far as the log allows, so that *pre is the master's
 * state of `path`. 1: it was a creation, the master does not know the path; 0: the master has *pre.
 */
int outbox_unmake(struct replica *r, const char *path, const struct row *v, const struct hash *seen,
                  struct pre *pre);

/* The put that makes `path` as `want` says, where nothing was. */
struct op put_of(const char *path, const struct row *want);

/* replica_unlink or replica_rmdir within a transaction. */
int remove_locked(struct replica *r, const char *path, bool folder, const struct hash *seen,
                  int64_t *opid);
/* The folder v at `path` is empty here and, as far as is known, on the master: 0; else -ENOTEMPTY,
 * -errno. */
int check_empty(struct replica *r, const char *path, const struct row *v);
/* Takes a local path's row out; what the base has there stays hidden. */
int drop_local(struct replica *r, const char *path);

/* --- rename_excluded.c --- */

/*
 * The rename from v to the place of w when it makes local names served, or served names local: 1:
 * done (*opid: what to wait for, 0: nothing); 0: nothing of the kind; -EXDEV: a content that would
 * become local is not here, or such a folder holds names on the master that are not served.
 */
int rename_excluded(struct replica *r, const char *from, const struct row *v, const char *to,
                    const struct row *w, const struct hash *seen, int64_t *opid);

/* --- outbox.c --- */

/* What an operation on this view's path expects to find on the master. */
struct pre row_pre(const struct row *v);
/* Created here and not published yet. */
bool row_is_open(const struct row *v);

/* The seq up to which the feed is complete here; -1: unknown. */
int64_t feed_seq(struct db *db);

/* --- entries that cannot be applied (skipped.c), in a transaction --- */

/* Forgets the notes about the set that is staged. */
int skipped_drop(struct db *db);
/* Lines with an unknown path were left out: an entry that is not listed may exist. */
int skipped_any_unknown(struct db *db, bool *ret);
/* Notes an entry that was put into the base and cannot be reached, for there is no folder above it.
 * `known`: the folder that was found last, between calls in the order of paths. */
int skipped_check_parent(struct replica *r, const char *path, struct buf *known);
/* Called when the staged set is applied, before it is dropped: the list is as of now. */
int skipped_commit(struct replica *r, bool full);

/* Local by the master's exclude list. */
bool replica_is_local(struct replica *r, const char *path);
/* One of the master's filesystems is mounted at `path`; at `path` or below it. */
bool replica_is_volume(struct replica *r, const char *path);
bool replica_holds_volume(struct replica *r, const char *path);
/* Both lie on one of the master's filesystems, as far as that is known. */
bool replica_same_volume(struct replica *r, const char *a, const char *b);
/* True when the content is in the store, as far as is known. */
bool replica_has_content(struct replica *r, const struct hash *h, int64_t size);

#endif
