/* SPDX-License-Identifier: MIT */
/*
 * db: a SQLite connection with cached prepared statements and typed binding.
 *
 * A connection is used by one thread at a time (the caller's lock or a pool decides which).
 * Databases are in WAL mode with synchronous=NORMAL: a commit survives kill -9 at once and power
 * loss once db_sync() returned (https://www.sqlite.org/wal.html, "WAL mode and synchronous").
 *
 * Binding types, one letter each:
 *   i int64_t   s const char * as text   p const char * as bytes (tree paths and names: BLOB)
 *   h const struct hash * as a 32-byte BLOB, NULL when it is none   b const void *, size_t as BLOB
 * A NULL pointer for s, p, h or b binds SQL NULL.
 */
#ifndef EEFS_COMMON_DB_H
#define EEFS_COMMON_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>

#include "sync/common/err.h"
#include "sync/common/hash.h"

struct db;

enum db_flags {
    DB_READ_ONLY = 1, /* for a second connection: the file must exist */
    DB_SEALED = 2,    /* pages bear checksums (seal.h): reading a damaged one fails with -EUCLEAN */
};

/*
 * Opens (creates) the database at `path`, mode 0600, sets WAL, synchronous=NORMAL, foreign keys
 * off, busy timeout 10 s. Errors name the file and say what to do.
 */
int db_open(const char *path, int flags, struct db **ret, struct err *e);
void db_close(struct db *db);

/*
 * Called before the first DB_SEALED connection of this process, by the owner of the file: verifies
 * the checksums for at most ms (later damage is noticed at reading). A database of an earlier
 * version gets its seals; one that another program's SQLite changed (each table has triggers that
 * record it; eefs's connections do not run them) is checked by SQLite and sealed again. *found (may
 * be NULL): there was a database. -EUCLEAN: it is damaged, with a sentence.
 */
int db_check(const char *path, int64_t ms, bool *found, struct err *e);
/* SQLite's own check (quick_check), for at most ms. -EUCLEAN with its finding. */
int db_check_rows(struct db *db, int64_t ms, struct err *e);

/* A pointer of the connection's owner, NULL at first. */
void db_set_user(struct db *db, void *user);
void *db_user(struct db *db);

/* The SQLite handle, for functions without a wrapper here. Owned by db. */
sqlite3 *db_handle(struct db *db);

/*
 * Brings the schema to version n: steps[i] is the SQL that leads from version i to i + 1; each runs
 * in one transaction with PRAGMA user_version. `app_id` (PRAGMA application_id) identifies files of
 * eefs. -EPROTO when the file is newer than n or of another program; the text has the reason.
 */
int db_migrate(struct db *db, uint32_t app_id, const char *const *steps, int n, struct err *e);

/* Runs SQL without parameters, several statements allowed. */
int db_exec(struct db *db, const char *sql, struct err *e);

/*
 * Prepares (or takes from the cache), resets and binds. `sql` must be a string literal or live as
 * long as the connection: the cache goes by its address. The statement belongs to db; it is ended
 * by stepping to the end or by db_done(). NULL on failure: see db_errno(). Do not run the same
 * `sql` again on this connection while stepping through it.
 */
sqlite3_stmt *db_query(struct db *db, const char *sql, const char *types, ...);
/* 1: a row is there; 0: end; -errno. Resets the statement unless it returns 1. */
int db_step(struct db *db, sqlite3_stmt *stmt);
/* Resets early. NULL is fine. */
void db_done(sqlite3_stmt *stmt);

/* db_query and step to the end. Returns the number of changed rows or -errno. */
int db_run(struct db *db, const char *sql, const char *types, ...);
/* First column of the first row as an integer; `none` when there is no row. */
int db_get_int(struct db *db, int64_t none, int64_t *ret, const char *sql, const char *types, ...);

/* Columns. Pointers are valid until the next step. */
const char *db_col_text(sqlite3_stmt *stmt, int col); /* BLOB or text as a C string, "" for NULL */
void db_col_hash(sqlite3_stmt *stmt, int col, struct hash *ret); /* NULL gives "none" */

/* BEGIN IMMEDIATE, COMMIT, ROLLBACK. commit rolls back itself when it fails. */
int db_begin(struct db *db);
/* What is read from now until db_rollback() is of one moment. 0 or -errno. */
int db_begin_read(struct db *db);
int db_commit(struct db *db);
void db_rollback(struct db *db);

/* Makes all commits so far durable (fdatasync of the WAL). May run beside other use of `db`. */
int db_sync(struct db *db);
/* The same by fsync: on a filesystem with one journal, names and attributes that were changed before
 * are durable, too. */
int db_sync_all(struct db *db);
/* A descriptor of the log, for fdatasync(2) also when `db` is closed meanwhile; the caller closes
 * it. -1 with errno. */
int db_log(const struct db *db);

/*
 * Copies what `from` is at one moment into a new DB_SEALED database at `to`, which must not exist, by
 * SQLite's backup API: `from` may be in use, and nobody waits. The copy is complete and closed, in one
 * file, and on the disk. 0, or -errno with e; then nothing is left at `to`.
 */
int db_backup(struct db *from, const char *to, struct err *e);

/* Reads every byte of the database and its log from the disk. 0, or -EIO when the disk fails. May
 * take long: use a connection for which no other thread waits. */
int db_read_all(struct db *db);

/* Allocates disk space for the log, so that commits keep working for a while when the filesystem is
 * full: 1/32 of it, within min..max bytes; returns the number of bytes. A failure to allocate is
 * ignored. */
int64_t db_reserve(struct db *db, int64_t min, int64_t max);

/* SQLite's last error on this connection as -errno (ENOSPC, EIO, EBUSY, EUCLEAN for damage). Faults
 * of disk or memory are recorded (trouble.h). */
int db_errno(struct db *db);
/* Fills e with "<what>: <sqlite's message>"; returns db_errno(). */
int db_error(struct db *db, struct err *e, const char *what);

#endif
