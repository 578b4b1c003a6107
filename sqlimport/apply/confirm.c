/* SPDX-License-Identifier: MIT */
#include "sqlimport/apply/confirm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/apply/server_clock.h"
#include "sqlimport/compare/live_rows.h"
#include "sqlimport/compare/probe.h"
#include "sqlimport/compare/row_cache.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"

#define TRIED "-" /* no mark of a table looks like this */

struct candidate {
    char *name;
    struct past past;
    int64_t before_ms; /* only when compared before that */
};

/* When it was compared. A time to come is of a clock that was set right since. */
static int64_t compared_ms(const struct past *past)
{
    return past->compared_ms > clock_wall_ns() / 1000000 ? 0 : past->compared_ms;
}

static void take(struct candidate *c, const char *name, const struct past *past)
{
    free(c->name);
    c->name = xstrdup(name);
    c->past = *past;
}

static int without_mark(void *arg, const char *name, const struct past *past)
{
    struct candidate *c = arg;

    if (!c->name && !*past->mark)
        take(c, name, past);
    return 0;
}

static int longest_ago(void *arg, const char *name, const struct past *past)
{
    struct candidate *c = arg;

    if (*past->mark && strcmp(past->mark, TRIED) != 0 && compared_ms(past) < c->before_ms &&
        (!c->name || compared_ms(past) < compared_ms(&c->past)))
        take(c, name, past);
    return 0;
}

/* 1: the live rows are those of the row cache, 0: they are not. */
static int same_rows(struct server *s, const char *database, const struct candidate *c,
                     struct row_cache_reader *old, struct err *e)
{
    struct live_rows *rows = NULL;
    struct row_diff diff = {0};
    struct table_def def;
    int r = live_table_def(s, database, c->name, &def, e);

    if (r < 0)
        return r;
    if (!hash_eq(&def.hash, &c->past.live_def)) {
        table_def_release(&def);
        return 0;
    }
    r = server_run(s, row_cache_settings(old), strlen(row_cache_settings(old)), e);
    if (r == 0)
        r = live_rows_open(s, database, c->name, row_cache_columns(old), row_cache_left_out(old),
                           &def.key, NULL, &rows, e);
    if (r == 0) {
        r = row_diff_make(&diff, live_rows_next, rows, row_cache_next, old, 0, e);
        r = r == 0 ? 1 : r == -E2BIG || r == -EPROTO ? 0 : r;
    }
    row_diff_release(&diff);
    live_rows_close(rows);
    table_def_release(&def);
    return r;
}

/* 1: the live table is as imported, 0: it is not, or that cannot be told. *ret_mark is filled when
 * it has one. */
static int look(struct server *s, const struct confirm *a, struct candidate *c, char *ret_mark,
                struct err *e)
{
    struct row_cache_reader *old = row_cache_open(a->row_cache_dir, &c->past.hash);
    struct table_def def = {0};
    struct live live = {0};
    const struct live_table *t;
    int r = live_read(s, a->database, &live, e);

    t = r == 0 ? live_find(&live, c->name) : NULL;
    /* Mark and probe are taken before the rows: a change meanwhile will make them others. */
    if (t && *t->mark && !t->view && old) {
        memcpy(ret_mark, t->mark, MARK_CAP);
        r = live_table_def(s, a->database, c->name, &def, e);
        if (r == 0) {
            const struct probe p = {.table = t, .key = &def.key, .ret = &c->past.probe};
            r = probe_tables(s, a->database, &p, 1, e);
        }
        if (r == 0)
            r = same_rows(s, a->database, c, old, e);
        table_def_release(&def);
    }
    live_release(&live);
    row_cache_close(old);
    return r;
}

/* The live table's mark now, by a connection of its own, for the other one may have been given up
 * in the midst of rows: nobody wrote one since *mark was taken. */
static bool still(const struct confirm *a, const char *name, const char *mark)
{
    struct server *s = NULL;
    struct live live = {0};
    const struct live_table *t = NULL;
    bool same;

    if (server_open(a->defaults_file, &s, NULL) == 0 && live_read(s, a->database, &live, NULL) == 0)
        t = live_find(&live, name);
    same = t && strcmp(t->mark, mark) == 0;
    live_release(&live);
    server_close(s);
    return same;
}

static int compare(struct server *s, const struct confirm *a, struct candidate *c, bool *ret_found,
                   struct err *e)
{
    char noted[MARK_CAP], mark[MARK_CAP] = "";
    bool has_rows;
    struct row_cache_reader *old = row_cache_open(a->row_cache_dir, &c->past.hash);
    int r;

    has_rows = old != NULL;
    row_cache_close(old);
    memcpy(noted, c->past.mark, sizeof(noted));
    r = look(s, a, c, mark, e);
    if (r < 0)
        return r;
    c->past.compared_ms = clock_wall_ns() / 1000000;
    *ret_found = r == 0 && has_rows && *noted && strcmp(noted, TRIED) != 0 &&
                 strcmp(noted, mark) == 0 && still(a, c->name, noted);
    snprintf(c->past.mark, sizeof(c->past.mark), "%s", r == 1 ? mark : TRIED);
    return 0;
}

int confirm_one(const struct confirm *a, char **ret_found, char **ret_notice, struct err *e)
{
    struct candidate c = {.before_ms = clock_wall_ns() / 1000000 - a->every_ms};
    struct server *s = NULL;
    bool found = false;
    int r = a->due_only ? 0 : history_each(a->history, "TABLE", without_mark, &c, e);

    if (r == 0 && !c.name && a->every_ms > 0)
        r = history_each(a->history, "TABLE", longest_ago, &c, e);
    if (r < 0 || !c.name)
        goto out;
    r = server_open(a->defaults_file, &s, e);
    if (r == 0)
        r = server_clock_check(a->history, s, a->database, ret_notice, e);
    if (r == 0 && *ret_notice) { /* its mark is void now, and others' are */
        r = 1;
        goto out;
    }
    if (r == 0)
        r = compare(s, a, &c, &found, e);
    if (r == 0) {
        r = history_set_object(a->history, "TABLE", c.name, &c.past);
        r = r < 0 ? err_sys(e, -r, "cannot write the import history") : 1;
    }
    if (r == 1 && found)
        *ret_found = xstrdup(c.name);
out:
    server_close(s);
    free(c.name);
    return r;
}

int64_t confirm_due_ms(const struct confirm *a)
{
    struct candidate c = {.before_ms = INT64_MAX};

    if (a->every_ms > 0 && history_each(a->history, "TABLE", longest_ago, &c, NULL) == 0 &&
        c.name) {
        free(c.name);
        return compared_ms(&c.past) + a->every_ms;
    }
    free(c.name);
    return INT64_MAX;
}
