/* SPDX-License-Identifier: MIT */
#include "sqlimport/swap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"

#define ASIDE "_eefs_old_" /* set aside within the live database */

/* A pair of names, as RENAME TABLE takes them. */
typedef int rename_fn(void *arg, size_t n, const char *from_schema, const char *from,
                      const char *to_schema, const char *to);

static int each_rename(const struct swap *w, rename_fn *fn, void *arg)
{
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; i < w->plan->n && r == 0; i++) {
        const struct step *st = &w->plan->steps[i];
        char aside[32];
        if (!step_is_swap(st) && st->action != ACTION_DROP)
            continue;
        snprintf(aside, sizeof(aside), ASIDE "%zu", i);
        if (st->live)
            r = fn(arg, n++, w->database, st->name, st->aside ? w->database : w->old,
                   st->aside ? aside : st->name);
        if (r == 0 && step_is_swap(st))
            r = fn(arg, n++, w->stage, st->name, w->database, st->name);
    }
    return r;
}

static void put_rename(struct buf *b, const char *from_schema, const char *from,
                       const char *to_schema, const char *to)
{
    char *fs = server_name(from_schema), *f = server_name(from);
    char *ts = server_name(to_schema), *t = server_name(to);

    buf_printf(b, "%s%s.%s TO %s.%s", b->len ? ", " : "RENAME TABLE ", fs, f, ts, t);
    free(fs);
    free(f);
    free(ts);
    free(t);
}

static int add_rename(void *arg, size_t n, const char *from_schema, const char *from,
                      const char *to_schema, const char *to)
{
    (void)n;
    put_rename(arg, from_schema, from, to_schema, to);
    return 0;
}

static int add_note(void *arg, size_t n, const char *from_schema, const char *from,
                    const char *to_schema, const char *to)
{
    char *fs = server_text(from_schema), *f = server_text(from);
    char *ts = server_text(to_schema), *t = server_text(to);
    struct buf *b = arg;

    buf_printf(b, "%s(%zu,%s,%s,%s,%s)", n ? "," : "", n, fs, f, ts, t);
    free(fs);
    free(f);
    free(ts);
    free(t);
    return 0;
}

int swap_prepare(const struct swap *w, struct server *s, struct err *e)
{
    char *stage = server_name(w->stage);
    struct buf b = BUF_INIT;
    int r = server_runf(s, e, "DROP TABLE IF EXISTS %s._eefs_renames", stage);

    if (r == 0)
        r = server_runf(s, e,
                        "CREATE TABLE %s._eefs_renames (n INT PRIMARY KEY, from_schema VARCHAR(64),"
                        " from_name VARCHAR(64), to_schema VARCHAR(64), to_name VARCHAR(64))"
                        " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE utf8mb4_bin",
                        stage);
    buf_printf(&b, "INSERT INTO %s._eefs_renames VALUES ", stage);
    (void)each_rename(w, add_note, &b);
    if (r == 0)
        r = server_run(s, b.data, b.len, e);
    if (r == 0)
        r = commit_prepare_table(w->commit, s, e);
    buf_release(&b);
    free(stage);
    return r;
}

int swap_try(const struct swap *w, struct server *s, struct err *e)
{
    struct buf b = BUF_INIT;
    bool state = false;
    int r = commit_has_table(w->commit, s, &state, e);

    (void)each_rename(w, add_rename, &b);
    if (state)
        put_rename(&b, w->stage, "_eefs_state", w->old, "_eefs_state");
    put_rename(&b, w->stage, "_eefs_state_new", w->stage, "_eefs_state");
    crash_point("import.swap");
    if (r == 0)
        r = server_run(s, b.data, b.len, e);
    crash_point("import.swapped");
    buf_release(&b);
    return r;
}

static int has_table(struct server *s, const char *schema, const char *table, bool *ret,
                     struct err *e)
{
    char *text = server_text(schema), *name = server_text(table), *there = NULL;
    int r = server_value(s, &there, e,
                         "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s AND "
                         "TABLE_NAME=%s",
                         text, name);

    *ret = there != NULL;
    free(there);
    free(name);
    free(text);
    return r;
}

/*
 * Appends the renames that are still to be done: 1; 0: none was done, or all, and there is nothing
 * to end. The places that tables are set aside to were empty before, so what lies there is done;
 * and so is what has left the staging schema.
 */
static int half_done(struct server *s, const char *stage, struct buf *b, struct err *e)
{
    char *name = server_name(stage);
    size_t done = 0, left = 0;
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(s, &res, e,
                         "SELECT from_schema, from_name, to_schema, to_name FROM "
                         "%s._eefs_renames ORDER BY n",
                         name);

    free(name);
    if (r < 0)
        return r;
    while (r == 0 && (row = mysql_fetch_row(res))) {
        bool staged = strcmp(row[0], stage) == 0, there;
        r = staged ? has_table(s, row[0], row[1], &there, e)
                   : has_table(s, row[2], row[3], &there, e);
        if (r == 0 && there != staged) {
            done++;
        } else if (r == 0) {
            left++;
            put_rename(b, row[0], row[1], row[2], row[3]);
        }
    }
    mysql_free_result(res);
    return r < 0 ? r : done > 0 && left > 0;
}

int swap_recover(const char *stage, struct server *s, struct err *e)
{
    struct buf b = BUF_INIT;
    bool renames = false, state = false;
    int r = has_table(s, stage, "_eefs_renames", &renames, e);

    if (r == 0)
        r = has_table(s, stage, "_eefs_state_new", &state, e);
    if (r == 0 && renames && state)
        r = half_done(s, stage, &b, e);
    if (r == 1) {
        r = server_run(s, b.data, b.len, e);
        if (r < 0)
            err_prefix(e, "cannot end the renaming of tables that was interrupted");
        else
            r = 1;
    }
    buf_release(&b);
    return r;
}

int swap_clean(struct server *s, const char *database, struct err *e)
{
    char *text = server_text(database), *name = server_name(database);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_query(s, &res, e,
                         "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE "
                         "TABLE_SCHEMA=%s AND TABLE_NAME LIKE '\\_eefs\\_old\\_%%'",
                         text);

    while (r == 0 && (row = mysql_fetch_row(res))) {
        char *table = server_name(row[0]);
        r = server_runf(s, e, "DROP %s IF EXISTS %s.%s",
                        strcmp(row[1], "VIEW") == 0 ? "VIEW" : "TABLE", name, table);
        free(table);
    }
    if (res)
        mysql_free_result(res);
    free(text);
    free(name);
    return r;
}
