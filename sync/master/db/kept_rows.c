/* SPDX-License-Identifier: MIT */
#include "sync/master/db/kept_rows.h"

#include "sync/common/clock.h"
#include "sync/master/db/meta.h"

#define SEQ "kept_seq" /* in meta */

int kept_rows_add(struct db *db, const struct hash *h, int64_t size, int64_t found)
{
    int r = db_run(db, "INSERT OR IGNORE INTO kept(hash,size,at,found) VALUES(?,?,?,?)", "hiii", h,
                   size, clock_wall_ns(), found);

    return r < 0 ? r : 0;
}

int kept_rows_remove(struct db *db, const struct hash *h)
{
    int r = db_run(db, "DELETE FROM kept WHERE hash=?", "h", h);

    return r < 0 ? r : 0;
}

int kept_rows_has(struct db *db, const struct hash *h)
{
    int64_t n = 0;
    int r = db_get_int(db, 0, &n, "SELECT 1 FROM kept WHERE hash=?", "h", h);

    return r < 0 ? r : (int)n;
}

int kept_rows_each(struct db *db, void (*fn)(void *arg, const struct hash *h), void *arg)
{
    sqlite3_stmt *st = db_query(db, "SELECT hash FROM kept", "");
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct hash h;

        db_col_hash(st, 0, &h);
        fn(arg, &h);
    }
    return r;
}

int kept_rows_oldest(struct db *db, int64_t found, int64_t max,
                     bool (*fn)(void *arg, const struct hash *h, int64_t size, bool orphan),
                     void *arg)
{
    sqlite3_stmt *st = db_query(
        db,
        "SELECT hash,size,EXISTS(SELECT 1 FROM entry e WHERE e.hash=k.hash AND e.type=1) AS live,"
        "(SELECT max(ended) FROM version v WHERE v.hash=k.hash) AS old,at FROM kept k "
        "WHERE found<=? ORDER BY live, old IS NOT NULL, coalesce(old,at) LIMIT ?",
        "ii", found, max);
    int r;

    while ((r = db_step(db, st)) == 1) {
        bool orphan = sqlite3_column_int(st, 2) == 0 && sqlite3_column_type(st, 3) == SQLITE_NULL;
        struct hash h;

        db_col_hash(st, 0, &h);
        if (!fn(arg, &h, sqlite3_column_int64(st, 1), orphan)) {
            db_done(st);
            return 0;
        }
    }
    return r;
}

#define NAMED                                                                                      \
    "(EXISTS(SELECT 1 FROM version v WHERE v.hash=kept.hash) OR "                                  \
    "EXISTS(SELECT 1 FROM entry e WHERE e.hash=kept.hash AND e.type=1))"

int kept_rows_unnamed(struct db *db,
                      bool (*fn)(void *arg, const struct hash *h, int64_t size, int64_t found),
                      void *arg)
{
    sqlite3_stmt *st = db_query(
        db, "SELECT hash,size,found FROM kept WHERE found>0 AND NOT " NAMED " ORDER BY found,hash",
        "");
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct hash h;

        db_col_hash(st, 0, &h);
        if (!fn(arg, &h, sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2))) {
            db_done(st);
            return 0;
        }
    }
    return r;
}

int kept_rows_named(struct db *db)
{
    int r = db_run(db, "UPDATE kept SET found=0 WHERE found>0 AND " NAMED, "");

    return r < 0 ? r : 0;
}

int kept_rows_lacking(struct db *db, int64_t seq, int64_t size,
                      bool (*fn)(void *arg, struct row *row), void *arg)
{
    sqlite3_stmt *st =
        db_query(db,
                 "SELECT " TREE_COLUMNS " FROM entry WHERE seq>? AND type=1 AND size<=? "
                 "AND NOT EXISTS(SELECT 1 FROM kept WHERE kept.hash=entry.hash) ORDER BY seq",
                 "ii", seq, size);

    return tree_each_row(db, st, fn, arg);
}

#define LACKING                                                                                    \
    "FROM entry e WHERE type=1 AND NOT EXISTS(SELECT 1 FROM kept WHERE kept.hash=e.hash) AND "     \
    "NOT (dir=CAST('sql' AS BLOB) OR (dir>CAST('sql/' AS BLOB) AND dir<CAST('sql0' AS BLOB)))"

int kept_rows_count_lacking(struct db *db, int64_t *files, int64_t *bytes)
{
    int r = db_get_int(db, 0, files, "SELECT count(*) " LACKING, "");

    if (r == 0)
        r = db_get_int(db, 0, bytes, "SELECT coalesce(sum(size),0) " LACKING, "");
    return r;
}

int kept_rows_seq(struct db *db, int64_t *ret)
{
    return meta_get_int(db, SEQ, -1, ret);
}

int kept_rows_set_seq(struct db *db, int64_t seq)
{
    return meta_set_int(db, SEQ, seq);
}
