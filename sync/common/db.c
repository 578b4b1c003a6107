/* SPDX-License-Identifier: MIT */
#include "sync/common/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/seal.h"
#include "sync/common/trouble.h"

#define BUSY_TIMEOUT_MS 10000
#define CACHE_SLOTS     256 /* power of two; well above the number of statements in the project */

struct cached {
    const char *sql; /* key: the address */
    sqlite3_stmt *stmt;
};

struct db {
    sqlite3 *h;
    char *path;
    bool sealed;
    void *user;
    int wal_fd; /* for db_sync(); -1 when read-only */
    struct cached cache[CACHE_SLOTS];
};

static int map_errno(int rc)
{
    if (rc == SQLITE_IOERR_DATA)
        return -EUCLEAN;
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CANTOPEN:
        return -ENOENT;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_TOOBIG:
        return -EFBIG;
    default:
        return -EIO;
    }
}

int db_errno(struct db *db)
{
    int rc = sqlite3_extended_errcode(db->h), r = map_errno(rc);

    if ((rc & 0xff) == SQLITE_CANTOPEN && sqlite3_system_errno(db->h) > 0)
        r = -sqlite3_system_errno(db->h); /* EMFILE, most of all */
    r = r ? r : -EIO;
    trouble_note(-r, db->path);
    return r;
}

int db_error(struct db *db, struct err *e, const char *what)
{
    int r = db_errno(db);

    return err_set(e, -r, "%s: database '%s': %s", what, db->path, sqlite3_errmsg(db->h));
}

/* SQLite creates the WAL file with the first read transaction after journal_mode=WAL. */
static void open_wal(struct db *db)
{
    char *wal = xasprintf("%s-wal", db->path);

    sqlite3_exec(db->h, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);

    db->wal_fd = open(wal, O_RDWR | O_CLOEXEC);
    if (db->wal_fd < 0) {
        int code = errno;
        free(wal);
        errno = code;
        return;
    }
    free(wal);
}

int db_open(const char *path, int flags, struct db **ret, struct err *e)
{
    struct db *db = xcalloc(1, sizeof(*db));
    bool ro = flags & DB_READ_ONLY;
    int rc, seal = SEAL_BYTES;

    db->wal_fd = -1;
    db->path = xstrdup(path);
    db->sealed = (flags & DB_SEALED) && seal_init() == 0;
    if (!ro) {
        /*
         * Created here so that the mode is ours; SQLite gives -wal and -shm the same one. One that
         * is there is not touched: closing it would take away the locks that another connection
         * of this process has on it (fcntl(2)), and another process would delete the log under it.
         */
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST) {
            int code = errno;
            free(db->path);
            free(db);
            return err_sys(e, code, "cannot open the database '%s'", path);
        }
        if (fd >= 0)
            close(fd);
    }
    rc = sqlite3_open_v2(path, &db->h,
                         (ro ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX,
                         db->sealed ? SEAL_VFS : NULL);
    if (rc != SQLITE_OK) {
        int code = db->h ? sqlite3_system_errno(db->h) : 0, r;

        trouble_note(code ? code : map_errno(rc), path);
        r = err_set(e, code ? code : -map_errno(rc), "cannot open the database '%s': %s", path,
                    code ? strerror(code) : sqlite3_errstr(rc));
        db_close(db);
        return r;
    }
    sqlite3_extended_result_codes(db->h, 1);
    sqlite3_busy_timeout(db->h, BUSY_TIMEOUT_MS);
    sqlite3_db_config(db->h, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    if (db->sealed && !ro)
        sqlite3_file_control(db->h, "main", SQLITE_FCNTL_RESERVE_BYTES, &seal);
    rc = sqlite3_exec(db->h,
                      ro ? "PRAGMA query_only=1"
                         : "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                           "PRAGMA journal_size_limit=67108864",
                      NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        int r = db_error(
            db, e, "cannot use the database file; is it damaged, or is it of another program?");
        db_close(db);
        return r;
    }
    if (!ro) {
        open_wal(db);
        if (db->wal_fd < 0) {
            int code = errno;
            db_close(db);
            return err_sys(e, code, "cannot open '%s-wal'", path);
        }
    }
    *ret = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < CACHE_SLOTS; i++)
        sqlite3_finalize(db->cache[i].stmt);
    if (db->h)
        sqlite3_close_v2(db->h);
    if (db->wal_fd >= 0)
        close(db->wal_fd);
    free(db->path);
    free(db);
}

void db_set_user(struct db *db, void *user)
{
    db->user = user;
}

void *db_user(struct db *db)
{
    return db->user;
}

sqlite3 *db_handle(struct db *db)
{
    return db->h;
}

static int pragma_int(struct db *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *st = NULL;
    int r = 0;

    if (sqlite3_prepare_v2(db->h, sql, -1, &st, NULL) != SQLITE_OK)
        return db_errno(db);
    if (sqlite3_step(st) == SQLITE_ROW)
        *ret = sqlite3_column_int64(st, 0);
    else
        r = db_errno(db);
    sqlite3_finalize(st);
    return r;
}

/* --- what other programs write --- */

#define GUARD "foreign_write"

/* Triggers on every table, that only other programs' connections run, and the number of the schema
 * as it is with them. */
static int make_guard(struct db *db, struct err *e)
{
    struct buf sql = BUF_INIT;
    sqlite3_stmt *st = NULL;
    int r;

    buf_puts(&sql, "BEGIN IMMEDIATE;CREATE TABLE IF NOT EXISTS " GUARD
                   "(n INTEGER NOT NULL, cookie INTEGER NOT NULL);");
    if (sqlite3_prepare_v2(
            db->h,
            "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT IN ('" GUARD
            "') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
            -1, &st, NULL) != SQLITE_OK)
        r = db_error(db, e, "cannot read the schema");
    while (st && sqlite3_step(st) == SQLITE_ROW) {
        static const char *const what[] = {"INSERT", "UPDATE", "DELETE"};
        const char *table = (const char *)sqlite3_column_text(st, 0);

        for (int i = 0; i < 3; i++)
            buf_printf(&sql,
                       "CREATE TRIGGER IF NOT EXISTS \"" GUARD "_%s_%c\" AFTER %s ON \"%s\" BEGIN"
                       " UPDATE " GUARD " SET n=n+1; END;",
                       table, what[i][0], what[i], table);
    }
    sqlite3_finalize(st);
    buf_puts(&sql, "DELETE FROM " GUARD ";INSERT INTO " GUARD
                   " SELECT 0, schema_version FROM pragma_schema_version;COMMIT");
    r = db_exec(db, sql.data, e);
    if (r < 0)
        db_rollback(db);
    buf_release(&sql);
    return r;
}

/* Nobody else has written since the guard was made. 1: so, 0: not so, or there is none. */
static bool guard_holds(sqlite3 *h)
{
    sqlite3_stmt *st = NULL;
    bool yes = sqlite3_prepare_v2(h,
                                  "SELECT 1 FROM " GUARD " JOIN pragma_schema_version"
                                  " WHERE n=0 AND cookie=schema_version",
                                  -1, &st, NULL) == SQLITE_OK &&
               sqlite3_step(st) == SQLITE_ROW;

    sqlite3_finalize(st);
    return yes;
}

static int guard(struct db *db, struct err *e)
{
    return guard_holds(db->h) ? 0 : make_guard(db, e);
}

/* 0: SQLite finds nothing wrong; -EUCLEAN with its first words. */
static int ask_sqlite(sqlite3 *h, const char *check, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h, check, -1, &st, NULL), r = 0;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
        r = err_set(e, EUCLEAN, "%s", (const char *)sqlite3_column_text(st, 0));
    else if (rc != SQLITE_ROW && rc != SQLITE_INTERRUPT)
        r = err_set(e, -map_errno(rc) ? -map_errno(rc) : EIO, "%s", sqlite3_errmsg(h));
    sqlite3_finalize(st);
    return r;
}

static int is_late(void *arg)
{
    return clock_mono_ms() > *(const int64_t *)arg;
}

int db_check_rows(struct db *db, int64_t ms, struct err *e)
{
    int64_t until = clock_mono_ms() + ms;
    int r;

    sqlite3_progress_handler(db->h, 10000, is_late, &until);
    r = ask_sqlite(db->h, "PRAGMA quick_check(1)", e);
    sqlite3_progress_handler(db->h, 0, NULL, NULL);
    return r < 0 ? err_prefix(e, "the database '%s' is damaged", db->path) : 0;
}

static sqlite3 *open_lenient(const char *path)
{
    sqlite3 *h = NULL;

    if (sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE, SEAL_VFS_LENIENT) != SQLITE_OK) {
        sqlite3_close(h);
        return NULL;
    }
    sqlite3_extended_result_codes(h, 1);
    sqlite3_busy_timeout(h, BUSY_TIMEOUT_MS);
    return h;
}

/* Pages without a right seal: has another program written them? Then they are sealed as they are,
 * if SQLite finds nothing wrong. */
static bool accept_foreign(const char *path)
{
    sqlite3 *h = open_lenient(path);
    sqlite3_stmt *st = NULL;
    struct err e;
    bool yes;

    if (!h)
        return false;
    yes = sqlite3_prepare_v2(h, "SELECT 1 FROM " GUARD, -1, &st, NULL) == SQLITE_OK &&
          sqlite3_step(st) == SQLITE_ROW;
    sqlite3_finalize(st);
    yes = yes && !guard_holds(h) && ask_sqlite(h, "PRAGMA integrity_check(1)", &e) == 0 &&
          sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK;
    sqlite3_close(h);
    return yes && seal_renew(path) == 0;
}

/* A database of an earlier version is written anew with seals. Where that fails it goes on without:
 * it is tried again at the next start. */
static void add_seals(const char *path)
{
    char *fresh = xasprintf("%s-sealed", path), *sql = NULL;
    int fd, seal = SEAL_BYTES;
    sqlite3 *h = NULL;
    bool done = false;

    unlink(fresh);
    fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 && sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE, SEAL_VFS) == SQLITE_OK) {
        sql = sqlite3_mprintf("PRAGMA locking_mode=EXCLUSIVE;PRAGMA journal_mode=DELETE;"
                              "BEGIN EXCLUSIVE;COMMIT;VACUUM INTO %Q",
                              fresh);
        sqlite3_busy_timeout(h, BUSY_TIMEOUT_MS);
        sqlite3_file_control(h, "main", SQLITE_FCNTL_RESERVE_BYTES, &seal);
        done = sqlite3_exec(h, sql, NULL, NULL, NULL) == SQLITE_OK && fsync(fd) == 0 &&
               rename(fresh, path) == 0 && file_sync_parent(path) == 0;
        sqlite3_free(sql);
    }
    sqlite3_close(h);
    if (fd >= 0)
        close(fd);
    if (!done)
        unlink(fresh);
    free(fresh);
}

int db_check(const char *path, int64_t ms, bool *found, struct err *e)
{
    struct seal_look l;
    int r = seal_look(path, ms, &l);

    if (r < 0)
        return err_sys(e, -r, "cannot read the database '%s'", path);
    if (found)
        *found = !l.empty;
    if (seal_init() < 0 || l.empty)
        return 0;
    if (!l.sealed && l.bad > 0 && !l.log_broken) {
        add_seals(path);
        return 0;
    }
    if (!seal_is_damaged(&l) || (!l.log_broken && !l.short_file && accept_foreign(path)))
        return 0;
    trouble_note(EUCLEAN, path);
    if (l.bad > 0)
        return err_set(e, EUCLEAN,
                       "the database '%s' is damaged: %lld of %lld pages do not match their "
                       "checksums (first: page %lld)",
                       path, (long long)l.bad, (long long)l.pages, (long long)l.first_bad);
    return err_set(e, EUCLEAN, "the database '%s' is damaged: %s", path,
                   l.log_broken ? "its log does not match its checksums"
                                : "a part of it is missing");
}

int db_migrate(struct db *db, uint32_t app_id, const char *const *steps, int n, struct err *e)
{
    int64_t version = 0, id = 0;
    int r = pragma_int(db, "PRAGMA user_version", &version);

    if (r == 0)
        r = pragma_int(db, "PRAGMA application_id", &id);
    if (r < 0)
        return db_error(db, e, "cannot read the schema version");
    if (version > 0 && (uint32_t)id != app_id)
        return err_set(e, EPROTO, "'%s' is the database of another program; point eefs elsewhere",
                       db->path);
    if (version > n)
        return err_set(e, EPROTO,
                       "'%s' was written by a newer eefs (schema %lld, this program knows %d); "
                       "upgrade eefs",
                       db->path, (long long)version, n);
    for (int v = (int)version; v < n; v++) {
        char *sql = xasprintf("BEGIN IMMEDIATE; %s; PRAGMA application_id=%d; "
                              "PRAGMA user_version=%d; COMMIT",
                              steps[v], (int)app_id, v + 1);
        r = db_exec(db, sql, e);
        free(sql);
        if (r < 0) {
            db_rollback(db);
            return err_prefix(e, "cannot bring the schema to version %d", v + 1);
        }
    }
    return db->sealed ? guard(db, e) : 0;
}

int db_exec(struct db *db, const char *sql, struct err *e)
{
    if (sqlite3_exec(db->h, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_error(db, e, "SQL failed");
    return 0;
}

static sqlite3_stmt *cached_stmt(struct db *db, const char *sql)
{
    size_t i = ((uintptr_t)sql >> 3) * 2654435761u % CACHE_SLOTS;

    for (size_t probe = 0; probe < CACHE_SLOTS; probe++, i = (i + 1) % CACHE_SLOTS) {
        struct cached *c = &db->cache[i];
        if (c->sql == sql)
            return c->stmt;
        if (!c->sql) {
            if (sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &c->stmt, NULL) !=
                SQLITE_OK)
                return NULL;
            c->sql = sql;
            return c->stmt;
        }
    }
    abort(); /* more statements than slots: a bug */
}

static int bind_blob(sqlite3_stmt *st, int i, const void *data, size_t len)
{
    if (!data)
        return sqlite3_bind_null(st, i);
    return sqlite3_bind_blob64(st, i, data, len, SQLITE_TRANSIENT);
}

static sqlite3_stmt *vquery(struct db *db, const char *sql, const char *types, va_list ap)
{
    sqlite3_stmt *st = cached_stmt(db, sql);
    int rc = SQLITE_OK;

    if (!st)
        return NULL;
    sqlite3_reset(st);
    for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
        const void *p;

        switch (*types) {
        case 'i':
            rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
            break;
        case 's':
            p = va_arg(ap, const char *);
            rc = sqlite3_bind_text(st, i, p, -1, SQLITE_TRANSIENT);
            break;
        case 'p':
            p = va_arg(ap, const char *);
            rc = bind_blob(st, i, p, p ? strlen(p) : 0);
            break;
        case 'h':
            p = va_arg(ap, const struct hash *);
            rc = bind_blob(st, i, p && !hash_is_none(p) ? p : NULL, HASH_BYTES);
            break;
        case 'b':
            p = va_arg(ap, const void *);
            rc = bind_blob(st, i, p, va_arg(ap, size_t));
            break;
        default:
            abort();
        }
    }
    return rc == SQLITE_OK ? st : NULL;
}

sqlite3_stmt *db_query(struct db *db, const char *sql, const char *types, ...)
{
    sqlite3_stmt *st;
    va_list ap;

    va_start(ap, types);
    st = vquery(db, sql, types, ap);
    va_end(ap);
    return st;
}

int db_step(struct db *db, sqlite3_stmt *stmt)
{
    int rc, r;

    if (!stmt)
        return db_errno(db);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return 1;
    r = rc == SQLITE_DONE ? 0 : db_errno(db);
    sqlite3_reset(stmt);
    return r;
}

void db_done(sqlite3_stmt *stmt)
{
    if (stmt)
        sqlite3_reset(stmt);
}

int db_run(struct db *db, const char *sql, const char *types, ...)
{
    sqlite3_stmt *st;
    va_list ap;
    int r;

    va_start(ap, types);
    st = vquery(db, sql, types, ap);
    va_end(ap);
    do {
        r = db_step(db, st);
    } while (r == 1);
    return r < 0 ? r : sqlite3_changes(db->h);
}

int db_get_int(struct db *db, int64_t none, int64_t *ret, const char *sql, const char *types, ...)
{
    sqlite3_stmt *st;
    va_list ap;
    int r;

    va_start(ap, types);
    st = vquery(db, sql, types, ap);
    va_end(ap);
    r = db_step(db, st);
    if (r < 0)
        return r;
    *ret = none;
    if (r == 1 && sqlite3_column_type(st, 0) != SQLITE_NULL)
        *ret = sqlite3_column_int64(st, 0);
    db_done(st);
    return 0;
}

const char *db_col_text(sqlite3_stmt *stmt, int col)
{
    /* column_text of a BLOB gives its bytes with a NUL behind them, unconverted. */
    const char *s = (const char *)sqlite3_column_text(stmt, col);

    return s ? s : "";
}

void db_col_hash(sqlite3_stmt *stmt, int col, struct hash *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (sqlite3_column_bytes(stmt, col) == HASH_BYTES)
        memcpy(ret->b, sqlite3_column_blob(stmt, col), HASH_BYTES);
}

int db_begin(struct db *db)
{
    int r = db_run(db, "BEGIN IMMEDIATE", "");

    return r < 0 ? r : 0;
}

int db_begin_read(struct db *db)
{
    int r = db_run(db, "BEGIN", "");

    return r < 0 ? r : 0;
}

int db_commit(struct db *db)
{
    int r = db_run(db, "COMMIT", "");

    if (r < 0) {
        db_rollback(db);
        return r;
    }
    return 0;
}

void db_rollback(struct db *db)
{
    if (!sqlite3_get_autocommit(db->h))
        sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
}

int db_sync(struct db *db)
{
    return fdatasync(db->wal_fd) < 0 ? -errno : 0;
}

int db_sync_all(struct db *db)
{
    return fsync(db->wal_fd) < 0 ? -errno : 0;
}

int db_log(const struct db *db)
{
    return fcntl(db->wal_fd, F_DUPFD_CLOEXEC, 0);
}

/* By SQLite's own descriptors: to close another one of this file would end its locks. */
int db_read_all(struct db *db)
{
    static const int files[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};
    uint8_t *block = xmalloc(SEAL_PAGE);
    int r = 0;

    (void)sqlite3_exec(db->h, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && r == 0; i++) {
        sqlite3_file *f = NULL;
        sqlite3_int64 size = 0;
        int rc = sqlite3_file_control(db->h, "main", files[i], &f);

        if (rc != SQLITE_OK || !f || !f->pMethods)
            continue;
        rc = f->pMethods->xFileSize(f, &size);
        for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += SEAL_PAGE) {
            rc = f->pMethods->xRead(f, block, SEAL_PAGE, at);
            if (rc == SQLITE_IOERR_SHORT_READ || rc == SQLITE_IOERR_DATA)
                rc = SQLITE_OK; /* being written, or damaged: who reads the rows meets that */
        }
        r = rc == SQLITE_OK ? 0 : -EIO;
    }
    free(block);
    return r;
}

int64_t db_reserve(struct db *db, int64_t min, int64_t max)
{
    struct statvfs v;
    int64_t want;

    if (fstatvfs(db->wal_fd, &v) < 0)
        return min;
    want = (int64_t)v.f_blocks * (int64_t)v.f_frsize / 32;
    want = want < min ? min : want > max ? max : want;
    /* KEEP_SIZE: the file's length is SQLite's; the log is reused from its start. */
    (void)!fallocate(db->wal_fd, FALLOC_FL_KEEP_SIZE, 0, want);
    return want;
}

static int copy_all(struct db *from, struct db *to, struct err *e)
{
    sqlite3_backup *b = sqlite3_backup_init(to->h, "main", from->h, "main");
    int rc = b ? sqlite3_backup_step(b, -1) : SQLITE_ERROR, r;

    r = b ? sqlite3_backup_finish(b) : rc;
    if (rc == SQLITE_DONE && r == SQLITE_OK)
        return 0;
    r = db_errno(to);
    return err_set(e, r < 0 ? -r : EIO, "cannot copy the database '%s' to '%s': %s", from->path,
                   to->path, sqlite3_errstr(rc));
}

static int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), r;

    if (fd < 0)
        return -errno;
    r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r < 0 ? r : file_sync_parent(path);
}

int db_backup(struct db *from, const char *to, struct err *e)
{
    struct db *copy = NULL;
    int r = access(to, F_OK) == 0 ? err_set(e, EEXIST, "'%s' exists already", to) : 0;

    if (r == 0)
        r = db_open(to, DB_SEALED, &copy, e);
    if (r < 0)
        return r;
    r = copy_all(from, copy, e);
    if (r == 0 && db_exec(copy, "PRAGMA wal_checkpoint(TRUNCATE)", e) < 0)
        r = -e->code;
    db_close(copy);
    if (r == 0 && (r = sync_file(to)) < 0)
        err_sys(e, -r, "cannot write '%s'", to);
    if (r < 0) {
        char *wal = xasprintf("%s-wal", to), *shm = xasprintf("%s-shm", to);

        unlink(to);
        unlink(wal);
        unlink(shm);
        free(wal);
        free(shm);
    }
    return r;
}
