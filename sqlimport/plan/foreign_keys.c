/* SPDX-License-Identifier: MIT */
#include "sqlimport/plan/foreign_keys.h"

#include <errno.h>
#include <stdlib.h>

/* It will not be there under its name. */
static bool goes(const struct step *st)
{
    return st->action == ACTION_DROP || st->action == ACTION_VIEW;
}

/* One foreign key: the other side of a table that is swapped is swapped too. */
static int pull(struct plan *p, const char *a, const char *b, bool *again, struct err *e)
{
    struct step *x = plan_find(p, a), *y = plan_find(p, b);

    if (x && step_is_swap(x) && x->live && !y)
        return err_set(e, EPERM,
                       "cannot replace table '%.64s': a foreign key connects it with '%.64s', "
                       "which is not in the dump; drop that key, or dump that table too",
                       a, b);
    if (!x || !y || !step_is_swap(x) || step_is_swap(y) || goes(y))
        return 0;
    if (y->action == ACTION_KEEP)
        return x->live ? err_set(e, EPERM,
                                 "cannot replace table '%.64s': a foreign key connects it with the "
                                 "kept table '%.64s'; take both from the dump or keep both",
                                 a, b)
                       : 0;
    y->action = y->live ? ACTION_SWAP : ACTION_NEW;
    y->why = "foreign key";
    *again = true;
    return 0;
}

/* The key of a child that stays would follow the dropped parent into the schema of old tables, and
 * lead nowhere when it goes. */
static int pull_from_dropped(struct plan *p, const char *child, const char *parent, bool *again,
                             struct err *e)
{
    struct step *x = plan_find(p, parent), *y = plan_find(p, child);

    if (!x || !goes(x) || (y && (step_is_swap(y) || goes(y))))
        return 0;
    if (!y || y->action == ACTION_KEEP)
        return err_set(e, EPERM,
                       "cannot drop table '%.64s', which is %s: '%.64s', which stays, has a "
                       "foreign key to it; drop that key, or keep both",
                       parent, x->why, child);
    y->action = ACTION_SWAP;
    y->why = "foreign key";
    row_diff_release(&y->diff);
    *again = true;
    return 0;
}

static int pull_all(struct plan *p, MYSQL_RES *live_keys, bool *again, struct err *e)
{
    MYSQL_ROW row;
    int r;

    mysql_data_seek(live_keys, 0);
    while ((row = mysql_fetch_row(live_keys)))
        if ((r = pull(p, row[0], row[1], again, e)) < 0 ||
            (r = pull(p, row[1], row[0], again, e)) < 0 ||
            (r = pull_from_dropped(p, row[0], row[1], again, e)) < 0)
            return r;
    for (size_t i = 0; i < p->n; i++) {
        const struct object *o = p->steps[i].o;
        for (size_t k = 0; o && k < o->parents.n; k++) {
            if (!plan_find(p, o->parents.v[k]))
                continue;
            if ((r = pull(p, o->name, o->parents.v[k], again, e)) < 0 ||
                (r = pull(p, o->parents.v[k], o->name, again, e)) < 0)
                return r;
        }
    }
    return 0;
}

/* A key of another database would follow a table that is replaced, and lead nowhere. */
static int refuse_foreigners(const struct plan *p, struct server *s, const char *database,
                             struct err *e)
{
    char *text = server_text(database);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r =
        server_query(s, &res, e,
                     "SELECT DISTINCT CONSTRAINT_SCHEMA, TABLE_NAME, REFERENCED_TABLE_NAME FROM "
                     "information_schema.REFERENTIAL_CONSTRAINTS WHERE "
                     "UNIQUE_CONSTRAINT_SCHEMA=%s AND CONSTRAINT_SCHEMA NOT IN (%s,"
                     "CONCAT(%s,'_eefs_stage'),CONCAT(%s,'_eefs_old'))",
                     text, text, text, text);

    while (r == 0 && (row = mysql_fetch_row(res))) {
        const struct step *st = row[2] ? plan_find(p, row[2]) : NULL;
        if (st && st->live && (step_is_swap(st) || goes(st)))
            r = err_set(e, EPERM,
                        "cannot replace table '%.64s': '%.64s' of the database '%.64s' has a "
                        "foreign key to it; drop that key",
                        st->name, row[1], row[0]);
    }
    if (res)
        mysql_free_result(res);
    free(text);
    return r;
}

static bool replaces_any(const struct plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (step_is_swap(&p->steps[i]) || goes(&p->steps[i]))
            return true;
    return false;
}

/* One import is one commit. */
static void swap_deltas(struct plan *p)
{
    bool swaps = false;

    for (size_t i = 0; i < p->n; i++)
        swaps = swaps || step_is_swap(&p->steps[i]);
    for (size_t i = 0; i < p->n && swaps; i++)
        if (p->steps[i].action == ACTION_DELTA) {
            p->steps[i].action = ACTION_SWAP;
            row_diff_release(&p->steps[i].diff);
        }
}

/* The names of its keys (and checks, where they are one space) stay taken as long as a table lies
 * in the live database, and a new table may have them: it goes before a view can take its place. */
static int drop_before_views(struct plan *p, struct server *s, const char *database, struct err *e)
{
    char *text = server_text(database);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    bool views = false;
    int r = 0;

    for (size_t i = 0; i < p->n; i++)
        views = views || p->steps[i].action == ACTION_VIEW;
    if (views)
        r = server_query(s, &res, e,
                         "SELECT DISTINCT TABLE_NAME FROM information_schema.TABLE_CONSTRAINTS "
                         "WHERE TABLE_SCHEMA=%s AND CONSTRAINT_TYPE IN ('FOREIGN KEY'%s)",
                         text, server_is_mariadb(s) ? "" : ",'CHECK'");
    while (res && (row = mysql_fetch_row(res))) {
        struct step *st = plan_find(p, row[0]);
        if (st && st->action == ACTION_VIEW)
            st->action = ACTION_DROP;
    }
    if (res)
        mysql_free_result(res);
    free(text);
    return r;
}

int foreign_keys_pull(struct plan *p, struct server *s, const char *database, struct err *e)
{
    char *text = server_text(database);
    MYSQL_RES *keys;
    bool again = true;
    int r = server_query(s, &keys, e,
                         "SELECT DISTINCT TABLE_NAME, REFERENCED_TABLE_NAME FROM "
                         "information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA=%s AND "
                         "REFERENCED_TABLE_SCHEMA=%s AND REFERENCED_TABLE_NAME IS NOT NULL",
                         text, text);

    free(text);
    if (r < 0)
        return r;
    r = drop_before_views(p, s, database, e);
    while (r == 0 && again) {
        again = false;
        swap_deltas(p);
        r = pull_all(p, keys, &again, e);
    }
    mysql_free_result(keys);
    if (r == 0 && replaces_any(p))
        r = refuse_foreigners(p, s, database, e);
    return r;
}
