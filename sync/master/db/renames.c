/* SPDX-License-Identifier: MIT */
#include "sync/master/db/renames.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/path.h"

int renames_add(struct db *db, int64_t seq, const char *from, const char *to, const char *outbox)
{
    int r = db_run(db, "INSERT OR REPLACE INTO moved(seq,old,new,outbox) VALUES(?,?,?,?)", "ipps",
                   seq, from, to, outbox);

    if (r >= 0)
        r = db_run(db,
                   "DELETE FROM moved WHERE seq<=(SELECT seq FROM moved ORDER BY seq DESC"
                   " LIMIT 1 OFFSET ?)",
                   "i", (int64_t)RENAMES_MAX);
    return r < 0 ? r : 0;
}

int renames_lead(struct db *db, const char *path, int64_t known, const char *outbox, char **ret)
{
    sqlite3_stmt *st =
        db_query(db, "SELECT old,new FROM moved WHERE seq>? AND outbox IS NOT ? ORDER BY seq", "is",
                 known, outbox);
    char *at = xstrdup(path);
    int r;

    while ((r = db_step(db, st)) == 1) {
        const char *old = db_col_text(st, 0);
        size_t len = strlen(old);

        if (path_is_under(at, old) && at[len] == '/') {
            char *next = xasprintf("%s%s", db_col_text(st, 1), at + len);

            free(at);
            at = next;
        }
    }
    if (r == 0 && strcmp(at, path) != 0) {
        *ret = at;
        return 1;
    }
    free(at);
    return r;
}
