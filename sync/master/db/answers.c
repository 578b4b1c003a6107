/* SPDX-License-Identifier: MIT */
#include "sync/master/db/answers.h"

#include "sync/common/buf.h"

int answers_find(struct db *db, const char *mirror, const char *outbox, int64_t n,
                 const struct hash *digest, char **answer)
{
    sqlite3_stmt *st;
    struct hash old;
    int64_t highest = 0;
    int r = db_get_int(db, 0, &highest, "SELECT max(n) FROM outbox WHERE mirror=? AND id=?", "ss",
                       mirror, outbox);

    if (r < 0 || n > highest)
        return r < 0 ? r : ANSWERS_NEW;
    st = db_query(db, "SELECT digest, answer FROM outbox WHERE mirror=? AND id=? AND n=?", "ssi",
                  mirror, outbox, n);
    r = db_step(db, st);
    if (r < 1)
        return r < 0 ? r : ANSWERS_OTHER;
    db_col_hash(st, 0, &old);
    if (hash_eq(&old, digest)) {
        *answer = xstrdup(db_col_text(st, 1));
        r = ANSWERS_SAME;
    } else {
        r = ANSWERS_OTHER;
    }
    db_done(st);
    return r;
}

int answers_add(struct db *db, const char *mirror, const char *outbox, int64_t n,
                const struct hash *digest, const char *answer)
{
    int r = db_run(db, "INSERT INTO outbox(mirror,id,n,digest,answer) VALUES(?,?,?,?,?)", "ssihs",
                   mirror, outbox, n, digest, answer);

    if (r >= 0)
        r = db_run(db, "DELETE FROM outbox WHERE mirror=? AND id=? AND n<=?", "ssi", mirror, outbox,
                   n - ANSWERS_KEPT);
    return r < 0 ? r : 0;
}

int answers_forget(struct db *db, const char *mirror)
{
    int r = db_run(db, "DELETE FROM outbox WHERE mirror=?", "s", mirror);

    return r < 0 ? r : 0;
}
