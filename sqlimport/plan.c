/* SPDX-License-Identifier: MIT */
#include "sqlimport/plan.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

bool plan_keeps(const struct strlist *keep, const char *name)
{
    for (size_t i = 0; i < keep->n; i++)
        if (fnmatch(keep->v[i], name, 0) == 0)
            return true;
    return false;
}

static struct step *find_step(const struct plan *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->steps[i].o->name, name) == 0)
            return &p->steps[i];
    return NULL;
}

int plan_marks(struct plan *p, struct server *s, const char *schema, bool only_changed,
               bool *ret_racy, struct err *e)
{
    char *text = server_text(schema);
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(s, &res, e,
                         "SELECT t.TABLE_NAME, t.CREATE_TIME, t.UPDATE_TIME, DATE_FORMAT(NOW() - "
                         "INTERVAL (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS "
                         "WHERE VARIABLE_NAME='UPTIME') SECOND, '%%Y-%%m-%%d %%H:%%i:%%s'), "
                         "t.UPDATE_TIME >= NOW() FROM information_schema.TABLES t "
                         "WHERE t.TABLE_SCHEMA=%s",
                         text);

    free(text);
    if (r < 0)
        return r;
    if (ret_racy)
        *ret_racy = false;
    while ((row = mysql_fetch_row(res))) {
        struct step *st = find_step(p, row[0]);
        if (!st || (only_changed && st->action != ACTION_SWAP && st->action != ACTION_NEW))
            continue;
        snprintf(st->mark, sizeof(st->mark), "%s|%s|%.18s", row[1] ? row[1] : "-",
                 row[2] ? row[2] : "-", row[3] ? row[3] : "-");
        if (ret_racy && row[4] && *row[4] == '1')
            *ret_racy = true;
    }
    mysql_free_result(res);
    return 0;
}

static int read_live(struct plan *p, struct server *s, const char *database, struct err *e)
{
    char *text = server_text(database);
    MYSQL_RES *res;
    MYSQL_ROW row;
    struct step *st;
    int r = server_query(s, &res, e,
                         "SELECT TABLE_NAME FROM information_schema.TABLES WHERE "
                         "TABLE_SCHEMA=%s AND TABLE_TYPE<>'VIEW'",
                         text);

    if (r == 0) {
        while ((row = mysql_fetch_row(res)))
            if ((st = find_step(p, row[0])))
                st->live = true;
        mysql_free_result(res);
        r = server_query(s, &res, e,
                         "SELECT DISTINCT EVENT_OBJECT_TABLE FROM "
                         "information_schema.TRIGGERS WHERE TRIGGER_SCHEMA=%s",
                         text);
    }
    if (r == 0) {
        while ((row = mysql_fetch_row(res)))
            if ((st = find_step(p, row[0])))
                st->triggers = true;
        mysql_free_result(res);
        r = plan_marks(p, s, database, false, NULL, e);
    }
    free(text);
    return r;
}

/*
 * The mark of an unchanged table is as it was; its seconds are compared as text. The server's
 * start is cut to ten seconds (computed from an uptime in whole seconds, it may wander by one),
 * so a restart within ten seconds of the former start goes unseen when nothing else tells it.
 */
static bool unchanged(const struct step *st, struct history *h)
{
    struct hash hash;
    char mark[160];

    return st->live &&
           history_object(h, object_kind_name(st->o->kind), st->o->name, &hash, mark,
                          sizeof(mark)) &&
           hash_eq(&hash, &st->o->hash) && strcmp(mark, st->mark) == 0;
}

static bool is_changed(const struct step *st)
{
    return st->action == ACTION_SWAP || st->action == ACTION_NEW;
}

/* One foreign key: the other side of a table that is swapped is swapped too. */
static int pull(struct plan *p, const char *a, const char *b, bool *again, struct err *e)
{
    struct step *x = find_step(p, a), *y = find_step(p, b);

    if (x && is_changed(x) && x->live && !y)
        return err_set(e, EPERM,
                       "table '%.64s' changes, and '%.64s', which is not in the dump, hangs on it "
                       "by a foreign key: drop that key, or dump that table too",
                       a, b);
    if (!x || !y || !is_changed(x) || is_changed(y))
        return 0;
    if (y->action == ACTION_KEEP)
        return x->live ? err_set(e, EPERM,
                                 "table '%.64s' changes, and the kept table '%.64s' hangs on it by "
                                 "a foreign key: take both from the dump or keep both",
                                 a, b)
                       : 0;
    y->action = y->live ? ACTION_SWAP : ACTION_NEW;
    y->why = "foreign key";
    *again = true;
    return 0;
}

static int close_over_keys(struct plan *p, MYSQL_RES *live_keys, struct err *e)
{
    bool again = true;
    MYSQL_ROW row;
    int r;

    while (again) {
        again = false;
        mysql_data_seek(live_keys, 0);
        while ((row = mysql_fetch_row(live_keys)))
            if ((r = pull(p, row[0], row[1], &again, e)) < 0 ||
                (r = pull(p, row[1], row[0], &again, e)) < 0)
                return r;
        for (size_t i = 0; i < p->n; i++) {
            const struct object *o = p->steps[i].o;
            for (size_t k = 0; k < o->parents.n; k++) {
                if (!find_step(p, o->parents.v[k]))
                    continue;
                if ((r = pull(p, o->name, o->parents.v[k], &again, e)) < 0 ||
                    (r = pull(p, o->parents.v[k], o->name, &again, e)) < 0)
                    return r;
            }
        }
    }
    return 0;
}

int plan_make(const struct dump *d, struct server *s, struct history *h, const char *database,
              const struct strlist *keep, struct plan **ret, struct err *e)
{
    struct plan *p = xcalloc(1, sizeof(*p));
    char *text = server_text(database);
    MYSQL_RES *keys = NULL;
    int r;

    p->dump = d;
    p->steps = xcalloc(d->n + 1, sizeof(*p->steps));
    for (size_t i = 0; i < d->n; i++)
        if (object_is_table(d->objects[i]))
            p->steps[p->n++].o = d->objects[i];
    r = read_live(p, s, database, e);
    for (size_t i = 0; i < p->n && r == 0; i++) {
        struct step *st = &p->steps[i];
        if (plan_keeps(keep, st->o->name) && st->live) {
            st->action = ACTION_KEEP;
            st->why = "keep-list";
        } else if (unchanged(st, h)) {
            st->action = ACTION_UNCHANGED;
            st->why = "as imported";
        } else {
            st->action = st->live ? ACTION_SWAP : ACTION_NEW;
            st->why = st->live ? "changed" : "missing";
        }
    }
    if (r == 0)
        r = server_query(s, &keys, e,
                         "SELECT DISTINCT TABLE_NAME, REFERENCED_TABLE_NAME FROM "
                         "information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA=%s AND "
                         "REFERENCED_TABLE_SCHEMA=%s AND REFERENCED_TABLE_NAME IS NOT NULL",
                         text, text);
    if (r == 0) {
        r = close_over_keys(p, keys, e);
        mysql_free_result(keys);
    }
    free(text);
    for (size_t i = 0; i < p->n; i++) {
        if (!is_changed(&p->steps[i]))
            continue;
        p->changed++;
        p->rows += p->steps[i].o->rows;
        p->bytes += p->steps[i].o->bytes;
    }
    if (r < 0)
        plan_free(p);
    else
        *ret = p;
    return r;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    free(p->steps);
    free(p);
}

void plan_print(const struct plan *p)
{
    static const char *const actions[] = {"unchanged", "keep", "swap", "new"};

    printf("%-40s %-10s %12s %14s  %s\n", "table", "action", "rows", "bytes", "why");
    for (size_t i = 0; i < p->n; i++)
        printf("%-40s %-10s %12llu %14llu  %s\n", p->steps[i].o->name, actions[p->steps[i].action],
               (unsigned long long)p->steps[i].o->rows, (unsigned long long)p->steps[i].o->bytes,
               p->steps[i].why);
    printf("%zu of %zu tables change: %llu rows, %llu bytes\n", p->changed, p->n,
           (unsigned long long)p->rows, (unsigned long long)p->bytes);
}
