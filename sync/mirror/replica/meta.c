/* SPDX-License-Identifier: MIT */
/* meta: the database's table of single values. */
#include "sync/mirror/replica/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/proto/cursor.h"

char *meta_get(struct db *db, const char *key)
{
    sqlite3_stmt *st = db_query(db, "SELECT value FROM meta WHERE key=?", "s", key);
    char *v = xstrdup(db_step(db, st) == 1 ? db_col_text(st, 0) : "");

    db_done(st);
    return v;
}

int64_t meta_get_int(struct db *db, const char *key, int64_t none)
{
    char *v = meta_get(db, key);
    int64_t n = *v ? strtoll(v, NULL, 10) : none;

    free(v);
    return n;
}

int meta_set(struct db *db, const char *key, const char *value)
{
    int r = db_run(db, "INSERT OR REPLACE INTO meta(key,value) VALUES(?,?)", "ss", key, value);

    return r < 0 ? r : 0;
}

int meta_set_int(struct db *db, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return meta_set(db, key, text);
}

int meta_keep(struct db *db, const char *key, const char *value)
{
    char *old = meta_get(db, key);
    int r = strcmp(old, value) == 0 ? 0 : meta_set(db, key, value);

    free(old);
    return r;
}

int64_t feed_seq(struct db *db)
{
    char *text = meta_get(db, "cursor");
    struct cursor c = {.seq = -1};

    if (cursor_parse(text, &c) < 0)
        c.seq = -1;
    free(text);
    return c.seq;
}
