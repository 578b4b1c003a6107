/* SPDX-License-Identifier: MIT */
#include "sync/master/db/history.h"

#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/path.h"

#define COLUMNS "seq,until,size,mtime,mode,hash,ended"

bool history_wants(const char *path)
{
    return !path_is_under(path, "sql");
}

int history_end(struct db *db, const char *path, const struct hash *next, int64_t until)
{
    char *dir;
    int r;

    if (!history_wants(path))
        return 0;
    dir = path_parent(path);
    r = db_run(db,
               "INSERT OR REPLACE INTO version(dir,name,seq,size,mtime,mode,hash,until,ended) "
               "SELECT dir,name,seq,size,mtime,mode,hash,?,? FROM entry "
               "WHERE dir=? AND name=? AND type=1 AND hash IS NOT NULL AND hash IS NOT ?",
               "iipph", until, clock_wall_ns(), dir, path_base(path), next);
    free(dir);
    return r < 0 ? r : 0;
}

static void load(sqlite3_stmt *st, struct version *v)
{
    v->seq = sqlite3_column_int64(st, 0);
    v->until = sqlite3_column_int64(st, 1);
    v->size = sqlite3_column_int64(st, 2);
    v->mtime = sqlite3_column_int64(st, 3);
    v->mode = (uint32_t)sqlite3_column_int(st, 4);
    db_col_hash(st, 5, &v->hash);
    v->ended = sqlite3_column_int64(st, 6);
}

int history_each(struct db *db, const char *path, bool (*fn)(void *arg, const struct version *v),
                 void *arg)
{
    char *dir = path_parent(path);
    sqlite3_stmt *st =
        db_query(db, "SELECT " COLUMNS " FROM version WHERE dir=? AND name=? ORDER BY seq DESC",
                 "pp", dir, path_base(path));
    struct version v;
    int r;

    while ((r = db_step(db, st)) == 1) {
        load(st, &v);
        if (!fn(arg, &v)) {
            db_done(st);
            r = 0;
            break;
        }
    }
    free(dir);
    return r;
}

int history_followed(struct db *db, const char *path, const struct hash *before,
                     const struct hash *hash, int64_t mtime)
{
    int64_t had = 0;
    int r = db_get_int(db, 0, &had,
                       "SELECT EXISTS(SELECT 1 FROM version v JOIN version b"
                       " ON b.dir=v.dir AND b.name=v.name AND b.until<=v.seq"
                       " WHERE v.dir=? AND v.name=? AND v.hash=? AND v.mtime=? AND b.hash=?)",
                       "bphih", path, path_parent_len(path), path_base(path), hash, mtime, before);

    return r < 0 ? r : (int)had;
}

int history_get(struct db *db, const char *path, int64_t seq, struct version *ret)
{
    char *dir = path_parent(path);
    sqlite3_stmt *st =
        db_query(db, "SELECT " COLUMNS " FROM version WHERE dir=? AND name=? AND seq=?", "ppi", dir,
                 path_base(path), seq);
    int r = db_step(db, st);

    free(dir);
    if (r == 1) {
        load(st, ret);
        db_done(st);
    }
    return r;
}

int history_deleted(struct db *db, const char *dir, bool (*fn)(void *arg, const char *path),
                    void *arg)
{
    char *low = xasprintf("%s/", dir), *high = xasprintf("%s0", dir); /* '/' + 1 */
    sqlite3_stmt *st = db_query(
        db,
        "SELECT DISTINCT v.dir,v.name FROM version v JOIN entry e ON e.dir=v.dir AND e.name=v.name "
        "WHERE e.type=0 AND (?='' OR v.dir=? OR (v.dir>? AND v.dir<?)) ORDER BY v.dir,v.name",
        "sppp", dir, dir, low, high);
    int r;

    while ((r = db_step(db, st)) == 1) {
        char *parent = xstrdup(db_col_text(st, 0)), *path = path_join(parent, db_col_text(st, 1));
        bool more = fn(arg, path);

        free(parent);
        free(path);
        if (!more) {
            db_done(st);
            r = 0;
            break;
        }
    }
    free(low);
    free(high);
    return r;
}

int history_outdated(struct db *db, int64_t before, int64_t per_path,
                     bool (*fn)(void *arg, const char *path, int64_t seq), void *arg)
{
    sqlite3_stmt *st =
        db_query(db,
                 "SELECT dir,name,seq FROM (SELECT dir,name,seq,ended,row_number() "
                 "OVER (PARTITION BY dir,name ORDER BY seq DESC) AS nth FROM version) "
                 "WHERE nth>? OR ended<?",
                 "ii", per_path, before);
    int r;

    while ((r = db_step(db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0)), *path = path_join(dir, db_col_text(st, 1));
        bool more = fn(arg, path, sqlite3_column_int64(st, 2));

        free(dir);
        free(path);
        if (!more) {
            db_done(st);
            r = 0;
            break;
        }
    }
    return r;
}

int history_count(struct db *db, int64_t *versions, int64_t *lost)
{
    int r = db_get_int(db, 0, versions, "SELECT count(*) FROM version", "");

    if (r == 0)
        r = db_get_int(db, 0, lost,
                       "SELECT count(*) FROM version v WHERE "
                       "NOT EXISTS(SELECT 1 FROM kept WHERE kept.hash=v.hash) AND "
                       "NOT EXISTS(SELECT 1 FROM entry e WHERE e.hash=v.hash AND e.type=1)",
                       "");
    return r;
}

int history_forget(struct db *db, const char *path, int64_t seq)
{
    char *dir = path_parent(path);
    int r = db_run(db, "DELETE FROM version WHERE dir=? AND name=? AND seq=?", "ppi", dir,
                   path_base(path), seq);

    free(dir);
    return r < 0 ? r : 0;
}
