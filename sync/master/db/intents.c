/* SPDX-License-Identifier: MIT */
#include "sync/master/db/intents.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/master/db/answers.h"

void intent_release(struct intent *i)
{
    free(i->life);
    free(i->path);
    free(i->lands);
    memset(i, 0, sizeof(*i));
}

int intents_put(struct db *db, const char *mirror, const char *outbox, int64_t n,
                const struct hash *digest, const struct intent *i)
{
    int r = db_run(db,
                   "INSERT OR REPLACE INTO intent"
                   "(mirror,id,n,digest,life,ino,path,lands,over,result,made)"
                   " VALUES(?,?,?,?,?,?,?,?,?,?,0)",
                   "ssihsippii", mirror, outbox, n, digest, i->life, i->ino, i->path, i->lands,
                   i->over, (int64_t)i->result);

    return r < 0 ? r : 0;
}

#define COLUMNS "life,path,lands,ino,over,result"

static char *text_or_null(sqlite3_stmt *st, int col)
{
    return sqlite3_column_type(st, col) == SQLITE_NULL ? NULL : xstrdup(db_col_text(st, col));
}

static void fill(sqlite3_stmt *st, struct intent *ret)
{
    ret->life = text_or_null(st, 0);
    ret->path = text_or_null(st, 1);
    ret->lands = text_or_null(st, 2);
    ret->ino = sqlite3_column_int64(st, 3);
    ret->over = sqlite3_column_int64(st, 4);
    ret->result = (enum op_result)sqlite3_column_int(st, 5);
}

int intents_find_made(struct db *db, const char *mirror, const char *outbox, int64_t n,
                      const struct hash *digest, struct intent *ret)
{
    sqlite3_stmt *st = db_query(
        db,
        "SELECT " COLUMNS " FROM intent WHERE mirror=? AND id=? AND n=? AND digest=? AND made=1",
        "ssih", mirror, outbox, n, digest);
    int r = db_step(db, st);

    memset(ret, 0, sizeof(*ret));
    if (r == 1) {
        fill(st, ret);
        db_done(st);
    }
    return r;
}

int intents_remove(struct db *db, const char *mirror, const char *outbox, int64_t n)
{
    int r = db_run(db, "DELETE FROM intent WHERE mirror=? AND id=? AND (n=? OR n<=?)", "ssii",
                   mirror, outbox, n, n - ANSWERS_KEPT);

    return r < 0 ? r : 0;
}

int intents_forget(struct db *db, const char *mirror)
{
    int r = db_run(db, "DELETE FROM intent WHERE mirror=?", "s", mirror);

    return r < 0 ? r : 0;
}

struct note { /* with its key */
    struct intent i;
    char *mirror, *outbox;
    int64_t n;
};

static int read_open(struct db *db, struct note **ret, size_t *n)
{
    sqlite3_stmt *st = db_query(db, "SELECT " COLUMNS ",mirror,id,n FROM intent WHERE made=0", "");
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct note *o;

        *ret = xrealloc(*ret, (*n + 1) * sizeof(**ret));
        o = &(*ret)[(*n)++];
        fill(st, &o->i);
        o->mirror = xstrdup(db_col_text(st, 6));
        o->outbox = xstrdup(db_col_text(st, 7));
        o->n = sqlite3_column_int64(st, 8);
    }
    return r;
}

int intents_judge(struct db *db, int (*fn)(void *arg, const struct intent *i), void *arg)
{
    struct note *all = NULL;
    size_t n = 0;
    int r = read_open(db, &all, &n);

    for (size_t i = 0; i < n; i++) {
        int made = r < 0 ? r : fn(arg, &all[i].i);

        if (made > 0)
            r = db_run(db, "UPDATE intent SET made=1 WHERE mirror=? AND id=? AND n=?", "ssi",
                       all[i].mirror, all[i].outbox, all[i].n);
        else if (made == 0)
            r = intents_remove(db, all[i].mirror, all[i].outbox, all[i].n);
        else
            r = made;
        intent_release(&all[i].i);
        free(all[i].mirror);
        free(all[i].outbox);
    }
    free(all);
    return r < 0 ? r : 0;
}
