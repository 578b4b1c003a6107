/* SPDX-License-Identifier: MIT */
#include "sync/master/db/lost_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

int lost_rows_full(struct db *db, const char *mirror)
{
    int64_t n = 0;
    int r = db_get_int(db, 0, &n, "SELECT count(*) FROM lost WHERE mirror=?", "s", mirror);

    return r < 0 ? r : n >= LOST_ROWS_MAX;
}

int lost_rows_add(struct db *db, const char *base, const struct lost_row *row, bool settled)
{
    const struct entry *e = &row->e;
    int r = db_run(db,
                   "INSERT OR IGNORE INTO lost(mirror,base,n,path,type,size,mtime,mode,hash,target,"
                   "seq,here,own,settled) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                   "ssipiiiihpiiii", row->mirror, base, row->n, e->path, (int64_t)e->type, e->size,
                   e->mtime, (int64_t)e->mode, &e->hash, e->target, e->seq, (int64_t)row->here,
                   (int64_t)row->own, (int64_t)settled);

    return r < 0 ? r : 0;
}

int lost_rows_forget(struct db *db, const char *mirror, const char *base, int64_t n)
{
    int r = db_run(db, "DELETE FROM lost WHERE mirror=? AND base=? AND n=? AND settled=1", "ssi",
                   mirror, base, n);

    return r < 0 ? r : 0;
}

int lost_rows_settle(struct db *db, const struct entry *e)
{
    int r = db_run(db,
                   "UPDATE lost SET settled=1 WHERE path=?1 AND type=?2 AND hash IS ?3"
                   " AND target IS ?4",
                   "pihp", e->path, (int64_t)e->type, &e->hash, e->target);

    return r < 0 ? r : 0;
}

int lost_rows_last(struct db *db, const char *mirror, const char *base, int64_t *ret)
{
    return db_get_int(db, 0, ret, "SELECT max(n) FROM lost WHERE mirror=? AND base=?", "ss", mirror,
                      base);
}

int lost_rows_settled(struct db *db, const char *mirror, const char *base, size_t max,
                      json_t *numbers)
{
    sqlite3_stmt *st =
        db_query(db, "SELECT n FROM lost WHERE mirror=? AND base=? AND settled=1 LIMIT ?", "ssi",
                 mirror, base, (int64_t)max);
    int r;

    while ((r = db_step(db, st)) == 1)
        json_array_append_new(numbers, json_integer(sqlite3_column_int64(st, 0)));
    return r;
}

int lost_rows_count(struct db *db, const char *mirror, int64_t *ret)
{
    return db_get_int(db, 0, ret,
                      "SELECT count(*) FROM (SELECT DISTINCT path,type,hash,target FROM lost"
                      " WHERE settled=0 AND (?1 IS NULL OR mirror=?1))",
                      "s", mirror);
}

int lost_rows_has(struct db *db, const char *mirror, const struct hash *h)
{
    int64_t n = 0;
    int r = db_get_int(db, 0, &n,
                       "SELECT 1 FROM lost WHERE hash=? AND mirror=? AND type=1 AND here=1 AND"
                       " settled=0 LIMIT 1",
                       "hs", h, mirror);

    return r < 0 ? r : (int)n;
}

int lost_rows_each(struct db *db, const char *mirror, void (*fn)(void *arg, struct lost_row *row),
                   void *arg)
{
    sqlite3_stmt *st = db_query(db,
                                "SELECT mirror,n,path,type,size,mtime,mode,hash,target,seq,here,own"
                                " FROM lost WHERE settled=0 AND (?1 IS NULL OR mirror=?1)"
                                " ORDER BY path,type,hash,mirror",
                                "s", mirror);
    int r;

    while ((r = db_step(db, st)) == 1) {
        char *name = xstrdup(db_col_text(st, 0));
        struct lost_row row = {.mirror = name, .n = sqlite3_column_int64(st, 1)};

        row.e.path = xstrdup(db_col_text(st, 2));
        row.e.type = (enum entry_type)sqlite3_column_int(st, 3);
        row.e.size = sqlite3_column_int64(st, 4);
        row.e.mtime = sqlite3_column_int64(st, 5);
        row.e.mode = (uint32_t)sqlite3_column_int(st, 6);
        db_col_hash(st, 7, &row.e.hash);
        if (sqlite3_column_type(st, 8) != SQLITE_NULL)
            row.e.target = xstrdup(db_col_text(st, 8));
        row.e.seq = sqlite3_column_int64(st, 9);
        row.here = sqlite3_column_int(st, 10) != 0;
        row.own = sqlite3_column_int(st, 11) != 0;
        fn(arg, &row);
        entry_release(&row.e);
        free(name);
    }
    return r;
}
