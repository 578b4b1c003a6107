/* SPDX-License-Identifier: MIT */
#include "sync/mirror/replica/touched.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

static void on_update(void *arg, int what, char const *db, char const *table, sqlite3_int64 rowid)
{
    struct touched *t = arg;

    (void)what;
    if (strcmp(table, "outbox") != 0 || strcmp(db, "main") != 0)
        return;
    for (size_t i = 0; i < t->n_ops && t->n_ops < 64; i++)
        if (t->ops[i] == rowid)
            return;
    if (t->n_ops == t->cap_ops) {
        t->cap_ops = t->cap_ops ? t->cap_ops * 2 : 64;
        t->ops = xrealloc(t->ops, t->cap_ops * sizeof(*t->ops));
    }
    t->ops[t->n_ops++] = rowid;
}

void touched_watch(struct touched *t, struct db *db)
{
    db_set_user(db, t);
    sqlite3_update_hook(db_handle(db), on_update, t);
}

void touched_local(struct db *db, const char *path)
{
    struct touched *t = db_user(db);

    if (t)
        strlist_add(&t->locals, path);
}

void touched_clear(struct touched *t)
{
    t->n_ops = 0;
    strlist_release(&t->locals);
    t->locals = (struct strlist){NULL, 0};
}

void touched_release(struct touched *t)
{
    strlist_release(&t->locals);
    free(t->ops);
}
