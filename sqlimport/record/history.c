/* SPDX-License-Identifier: MIT */
/*
 * Tables: `import`, one row for each; `failure`, at most one row; `object`, one for each table,
 * view and the like (columns `created` and `shape` are past.def and past.live_def); `untold`, the
 * tables that --after is still to be told; `secret` and `clock`, one row each. A file lock keeps a
 * second importer of the same name out.
 */
#include "sqlimport/record/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/db.h"
#include "sync/common/file.h"

#define APP_ID 0x65657369u /* "eesi" */

struct history {
    struct db *db;
    int lock; /* file that one importer holds at a time */
};

static const char *const steps[] = {
    "CREATE TABLE import(id INTEGER PRIMARY KEY, wall_ns INTEGER, seconds_ms INTEGER,"
    " tables_changed INTEGER, rows INTEGER, hash BLOB);"
    "CREATE TABLE failure(id INTEGER PRIMARY KEY CHECK(id = 1), count INTEGER, dump TEXT,"
    " hash BLOB, code INTEGER, tbl TEXT, offset INTEGER, line INTEGER, excerpt TEXT, error TEXT,"
    " wall_ns INTEGER);"
    "CREATE TABLE object(kind TEXT, name TEXT, hash BLOB, mark TEXT, PRIMARY KEY(kind, name))"
    " WITHOUT ROWID;",
    "CREATE TABLE secret(id INTEGER PRIMARY KEY CHECK(id = 1), value BLOB);",
    "ALTER TABLE object ADD COLUMN created BLOB; ALTER TABLE object ADD COLUMN shape BLOB;",
    "CREATE TABLE untold(name TEXT PRIMARY KEY) WITHOUT ROWID;",
    /* Excerpts of dumps and errors that quote rows were kept once. */
    ("ALTER TABLE import ADD COLUMN dump TEXT;"
     "UPDATE failure SET excerpt = '', error = 'it failed before this version of eefs';"),
    "ALTER TABLE object ADD COLUMN probe BLOB; ALTER TABLE object ADD COLUMN compared INTEGER;",
    "CREATE TABLE clock(id INTEGER PRIMARY KEY CHECK(id = 1), boot TEXT, after_us INTEGER,"
    " server_us INTEGER);",
};

static int take_lock(struct history *h, const char *dir, const char *name, struct err *e)
{
    char *path = xasprintf("%s/import-%s.lock", dir, name);
    int r = 0;

    h->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (h->lock < 0)
        r = err_sys(e, errno, "cannot create the lock file '%s'", path);
    else if (flock(h->lock, LOCK_EX | LOCK_NB) < 0)
        r = err_set(e, EBUSY,
                    "cannot lock '%s': another eefs-sqlimport of this name is running; end it, or "
                    "give this one another --name",
                    path);
    free(path);
    return r;
}

int history_open(const char *dir, const char *name, struct history **ret, struct err *e)
{
    struct history *h = xcalloc(1, sizeof(*h));
    char *path = xasprintf("%s/import-%s.db", dir, name);
    int r = file_mkdirs(dir, 0700);

    h->lock = -1;
    if (r < 0)
        err_sys(e, -r, "cannot create the state folder '%s'", dir);
    if (r == 0)
        r = take_lock(h, dir, name, e);
    if (r == 0)
        r = db_open(path, 0, &h->db, e);
    if (r == 0)
        r = db_migrate(h->db, APP_ID, steps, sizeof(steps) / sizeof(*steps), e);
    free(path);
    if (r < 0) {
        history_close(h);
        return r;
    }
    *ret = h;
    return 0;
}

void history_close(struct history *h)
{
    if (!h)
        return;
    if (h->db)
        db_close(h->db);
    if (h->lock >= 0)
        close(h->lock);
    free(h);
}

int history_last(struct history *h, struct last_import *last, struct failure *f, struct err *e)
{
    sqlite3_stmt *q = db_query(h->db,
                               "SELECT wall_ns, seconds_ms, tables_changed, rows, hash, dump"
                               " FROM import ORDER BY id DESC LIMIT 1",
                               "");

    memset(last, 0, sizeof(*last));
    memset(f, 0, sizeof(*f));
    if (q && db_step(h->db, q) == 1) {
        last->wall_ns = sqlite3_column_int64(q, 0);
        last->seconds = (double)sqlite3_column_int64(q, 1) / 1000;
        last->tables_changed = sqlite3_column_int64(q, 2);
        last->rows = sqlite3_column_int64(q, 3);
        db_col_hash(q, 4, &last->hash);
        snprintf(last->dump, sizeof(last->dump), "%s", db_col_text(q, 5));
    }
    db_done(q);
    if (!q)
        return db_error(h->db, e, "cannot read the import history");
    q = db_query(h->db,
                 "SELECT count, dump, hash, code, tbl, offset, line, error"
                 " FROM failure",
                 "");
    if (!q)
        return db_error(h->db, e, "cannot read the import history");
    if (db_step(h->db, q) == 1) {
        f->count = sqlite3_column_int64(q, 0);
        snprintf(f->dump, sizeof(f->dump), "%s", db_col_text(q, 1));
        db_col_hash(q, 2, &f->hash);
        f->code = (unsigned)sqlite3_column_int64(q, 3);
        snprintf(f->where.table, sizeof(f->where.table), "%s", db_col_text(q, 4));
        f->where.offset = sqlite3_column_int64(q, 5);
        f->where.line = (uint64_t)sqlite3_column_int64(q, 6);
        snprintf(f->error, sizeof(f->error), "%s", db_col_text(q, 7));
    }
    db_done(q);
    return 0;
}

int history_add(struct history *h, const struct last_import *l, struct err *e)
{
    if (db_run(h->db,
               "INSERT INTO import(wall_ns, seconds_ms, tables_changed, rows, hash, dump)"
               " VALUES(?,?,?,?,?,?)",
               "iiiihs", l->wall_ns, (int64_t)(l->seconds * 1000), l->tables_changed, l->rows,
               &l->hash, l->dump) < 0 ||
        db_run(h->db, "DELETE FROM failure", "") < 0)
        return db_error(h->db, e, "cannot write the import history");
    return 0;
}

int history_fail(struct history *h, const struct failure *f, struct err *e)
{
    if (db_run(h->db, "INSERT OR REPLACE INTO failure VALUES(1,?,?,?,?,?,?,?,'',?,?)", "ishisiisi",
               f->count, f->dump, &f->hash, (int64_t)f->code, f->where.table,
               (int64_t)f->where.offset, (int64_t)f->where.line, f->error, clock_wall_ns()) < 0)
        return db_error(h->db, e, "cannot write the import history");
    return 0;
}

int history_add_untold(struct history *h, const char *table)
{
    return db_run(h->db, "INSERT OR IGNORE INTO untold VALUES(?)", "s", table);
}

int history_untold(struct history *h, struct strlist *ret, struct err *e)
{
    sqlite3_stmt *q = db_query(h->db, "SELECT name FROM untold ORDER BY name", "");
    int r = q ? 1 : -EIO;

    while (r == 1 && (r = db_step(h->db, q)) == 1)
        strlist_add(ret, db_col_text(q, 0));
    db_done(q);
    return r < 0 ? db_error(h->db, e, "cannot read the import history") : 0;
}

int history_told(struct history *h, struct err *e)
{
    int r = db_run(h->db, "DELETE FROM untold", "");

    return r < 0 ? db_error(h->db, e, "cannot write the import history") : 0;
}

int history_secret(struct history *h, struct hash *ret, struct err *e)
{
    sqlite3_stmt *q;
    struct hash secret;

    file_random(secret.b, HASH_BYTES);
    if (db_run(h->db, "INSERT OR IGNORE INTO secret VALUES(1, ?)", "h", &secret) < 0)
        return db_error(h->db, e, "cannot write the import history");
    q = db_query(h->db, "SELECT value FROM secret", "");
    if (!q || db_step(h->db, q) != 1)
        return db_error(h->db, e, "cannot read the import history");
    db_col_hash(q, 0, ret);
    db_done(q);
    return 0;
}

static void read_past(sqlite3_stmt *q, int col, struct past *ret)
{
    memset(ret, 0, sizeof(*ret));
    db_col_hash(q, col, &ret->hash);
    snprintf(ret->mark, sizeof(ret->mark), "%s", db_col_text(q, col + 1));
    db_col_hash(q, col + 2, &ret->def);
    db_col_hash(q, col + 3, &ret->live_def);
    db_col_hash(q, col + 4, &ret->probe);
    ret->compared_ms = sqlite3_column_int64(q, col + 5);
}

bool history_object(struct history *h, const char *kind, const char *name, struct past *ret)
{
    sqlite3_stmt *q = db_query(h->db,
                               "SELECT hash, mark, created, shape, probe, compared FROM object "
                               "WHERE kind = ? AND name = ?",
                               "ss", kind, name);
    bool found = q && db_step(h->db, q) == 1;

    if (found)
        read_past(q, 0, ret);
    db_done(q);
    return found;
}

int history_set_object(struct history *h, const char *kind, const char *name,
                       const struct past *past)
{
    return db_run(
        h->db,
        "INSERT OR REPLACE INTO object(kind, name, hash, mark, created, shape, probe, compared)"
        " VALUES(?,?,?,?,?,?,?,?)",
        "sshshhhi", kind, name, &past->hash, past->mark, &past->def, &past->live_def, &past->probe,
        past->compared_ms);
}

int history_forget(struct history *h, const char *kind, const char *name)
{
    return db_run(h->db, "DELETE FROM object WHERE kind = ? AND name = ?", "ss", kind, name);
}

int history_each(struct history *h, const char *kind, history_fn *fn, void *arg, struct err *e)
{
    sqlite3_stmt *q = db_query(h->db,
                               "SELECT name, hash, mark, created, shape, probe, compared FROM "
                               "object WHERE kind = ? ORDER BY name",
                               "s", kind);
    int r = q ? 0 : -1;

    while (r == 0 && (r = db_step(h->db, q)) == 1) {
        struct past past;
        read_past(q, 1, &past);
        r = fn(arg, db_col_text(q, 0), &past);
        if (r < 0) {
            db_done(q);
            return r;
        }
        r = 0;
    }
    return r < 0 ? db_error(h->db, e, "cannot read the import history") : 0;
}

int history_void_marks(struct history *h)
{
    return db_run(h->db, "UPDATE object SET mark = '' WHERE kind = 'TABLE' AND mark <> ''", "");
}

bool history_clock(struct history *h, struct clock_reading *ret)
{
    sqlite3_stmt *q = db_query(h->db, "SELECT boot, after_us, server_us FROM clock", "");
    bool found = q && db_step(h->db, q) == 1;

    memset(ret, 0, sizeof(*ret));
    if (found) {
        snprintf(ret->boot, sizeof(ret->boot), "%s", db_col_text(q, 0));
        ret->after_us = sqlite3_column_int64(q, 1);
        ret->server_us = sqlite3_column_int64(q, 2);
    }
    db_done(q);
    return found;
}

int history_set_clock(struct history *h, const struct clock_reading *r)
{
    return db_run(h->db, "INSERT OR REPLACE INTO clock VALUES(1,?,?,?)", "sii", r->boot,
                  r->after_us, r->server_us);
}

int history_begin(struct history *h)
{
    return db_begin(h->db);
}

int history_end(struct history *h, int r)
{
    if (r >= 0)
        return db_commit(h->db);
    db_rollback(h->db);
    return r;
}
