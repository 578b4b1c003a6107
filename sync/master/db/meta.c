/* SPDX-License-Identifier: MIT */
#include "sync/master/db/meta.h"

#include "sync/common/buf.h"

int meta_get_int(struct db *db, const char *name, int64_t none, int64_t *ret)
{
    return db_get_int(db, none, ret, "SELECT CAST(value AS INTEGER) FROM meta WHERE key=?", "s",
                      name);
}

int meta_get_text(struct db *db, const char *name, char **ret)
{
    sqlite3_stmt *st = db_query(db, "SELECT value FROM meta WHERE key=?", "s", name);
    int r = db_step(db, st);

    if (r == 1) {
        *ret = xstrdup(db_col_text(st, 0));
        db_done(st);
    }
    return r;
}

int meta_set_int(struct db *db, const char *name, int64_t value)
{
    int r = db_run(db, "INSERT OR REPLACE INTO meta(key,value) VALUES(?,?)", "si", name, value);

    return r < 0 ? r : 0;
}

int meta_set_text(struct db *db, const char *name, const char *value)
{
    int r = db_run(db, "INSERT OR REPLACE INTO meta(key,value) VALUES(?,?)", "ss", name, value);

    return r < 0 ? r : 0;
}

int meta_remove(struct db *db, const char *name)
{
    int r = db_run(db, "DELETE FROM meta WHERE key=?", "s", name);

    return r < 0 ? r : 0;
}
