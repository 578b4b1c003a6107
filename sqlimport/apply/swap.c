/* SPDX-License-Identifier: MIT */
/*
 * A table with triggers cannot leave its schema, so it is set aside within the live database until
 * recover_finish() drops it. The names of its foreign keys stay taken as long: where a staged table
 * brings such a name along, the key gets a temporary one (a loan), and recover_finish() gives it
 * the right one.
 */
#include "sqlimport/apply/swap.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/constraints.h"
#include "sqlimport/apply/recover.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"

static void make_moves(const struct swap *w, struct moves *m)
{
    memset(m, 0, sizeof(*m));
    memcpy(m->token, w->commit->token, sizeof(m->token));
    for (size_t i = 0; i < w->plan->n; i++) {
        const struct step *st = &w->plan->steps[i];
        char *place = recover_place_name(st->name, m->token);
        struct move *v = NULL;

        if (step_is_swap(st) && !st->live)
            v = moves_add(m, MOVE_NEW, st->name, NULL, NULL);
        else if (step_is_swap(st) || st->action == ACTION_DROP)
            v = moves_add(m, step_is_swap(st) ? MOVE_REPLACE : MOVE_DROP, st->name,
                          st->aside ? w->schemas->database : w->schemas->old, place);
        if (v) {
            v->live = st->live;
            v->staged = step_is_swap(st);
        }
        free(place);
    }
}

/* --- names of constraints --- */

/* A name that is taken, as long as its table lies in the live database. */
struct taken {
    char *name, *table;
    bool stays; /* the table does: nobody gives the name back */
};

struct names {
    struct taken *v;
    size_t n;
};

static void names_release(struct names *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].name);
        free(l->v[i].table);
    }
    free(l->v);
}

static const struct move *find_move(const struct moves *m, const char *table)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcasecmp(m->v[i].name, table) == 0)
            return &m->v[i];
    return NULL;
}

static int query_names(const char *schema, struct server *s, MYSQL_RES **ret, struct err *e)
{
    char *text = server_text(schema);
    int r = server_query(s, ret, e,
                         "SELECT TABLE_NAME, CONSTRAINT_NAME, CONSTRAINT_TYPE='CHECK' FROM "
                         "information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA=%s AND "
                         "CONSTRAINT_TYPE IN ('FOREIGN KEY'%s)",
                         text, server_is_mariadb(s) ? "" : ",'CHECK'");

    free(text);
    return r;
}

/* The names that stay taken in the live database while the new tables come. */
static int read_taken(const struct swap *w, const struct moves *m, struct server *s,
                      struct names *ret, struct err *e)
{
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = query_names(w->schemas->database, s, &res, e);

    if (r < 0)
        return r;
    while ((row = mysql_fetch_row(res))) {
        const struct constraint c = {.name = row[1], .check = *row[2] == '1'};
        const struct move *v = find_move(m, row[0]);
        bool aside = v && v->schema && strcmp(v->schema, w->schemas->database) == 0;

        if ((v && !aside) || (aside && constraint_follows(&c, row[0])))
            continue;
        ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(*ret->v));
        ret->v[ret->n++] =
            (struct taken){.name = xstrdup(row[1]), .table = xstrdup(row[0]), .stays = !v};
    }
    mysql_free_result(res);
    return 0;
}

static const struct taken *find_taken(const struct names *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcasecmp(l->v[i].name, name) == 0)
            return &l->v[i];
    return NULL;
}

static int read_constraints(const struct swap *w, const char *table, struct server *s,
                            struct constraints *ret, struct err *e)
{
    char *ddl = NULL;
    int r = server_table_ddl(s, w->schemas->stage, table, &ddl, e);

    if (r == 0)
        constraints_read(ret, ddl, strlen(ddl), (struct token_mode){0});
    free(ddl);
    return r;
}

/* Notes a loan, and changes the staged table's name. */
static int lend(const struct swap *w, struct moves *m, const char *table,
                const struct constraint *c, struct server *s, struct err *e)
{
    char temporary[40];
    struct loan l = {.table = (char *)(uintptr_t)table,
                     .temporary = temporary,
                     .name = c->name,
                     .drop = (char *)(uintptr_t)(c->check ? "CHECK" : "FOREIGN KEY"),
                     .clause = c->clause};

    snprintf(temporary, sizeof(temporary), "_eefs_%.8s_%zu", m->token, m->n_loans);
    moves_add_loan(m, &l);
    return recover_rename_constraint(s, w->schemas->stage, &l, l.name, l.temporary, e);
}

/* --- parents that are not swapped --- */

static bool is_swapped(const struct plan *p, const char *table)
{
    const struct step *st = plan_find(p, table);

    return st && step_is_swap(st);
}

/* A key to a table that is not staged would keep the staging schema in it. */
static int point_to_live(const struct swap *w, const char *table, const struct constraint *c,
                         struct server *s, struct err *e)
{
    char *stage = server_name(w->schemas->stage), *database = server_name(w->schemas->database);
    char *t = server_name(table), *name = server_name(c->name);
    int r = server_runf(s, e, "ALTER TABLE %s.%s DROP FOREIGN KEY %s", stage, t, name);

    if (r == 0)
        r = server_runf(s, e, "USE %s", stage);
    if (r == 0)
        r = server_runf(s, e, "ALTER TABLE %s.%s ADD CONSTRAINT %s %.*s%s.%s", stage, t, name,
                        (int)c->parent_at, c->clause, database, c->clause + c->parent_at);
    free(stage);
    free(database);
    free(t);
    free(name);
    return r;
}

static bool is_dropped(const struct plan *p, const char *table)
{
    const struct step *st = plan_find(p, table);

    return st && st->action == ACTION_DROP;
}

/* It would follow a table that is dropped: it leads to the name again when that one is gone. */
static int point_table_to_live(const struct swap *w, struct moves *m, const char *table,
                               struct server *s, struct err *e)
{
    struct constraints c = {NULL, 0};
    int r = read_constraints(w, table, s, &c, e);

    for (size_t i = 0; i < c.n && r == 0; i++)
        if (c.v[i].parent && is_dropped(w->plan, c.v[i].parent))
            r = lend(w, m, table, &c.v[i], s, e);
        else if (c.v[i].parent && !is_swapped(w->plan, c.v[i].parent))
            r = point_to_live(w, table, &c.v[i], s, e);
    constraints_release(&c);
    if (r < 0 && r != -ENOTCONN)
        return err_prefix(e, "cannot prepare the constraints of '%.64s'", table);
    return r;
}

static int point_all_to_live(const struct swap *w, struct moves *m, struct server *s, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < w->plan->n && r == 0; i++) {
        const struct step *st = &w->plan->steps[i];
        bool away = false;
        for (size_t k = 0; step_is_swap(st) && k < st->o->parents.n; k++)
            away = away || !is_swapped(w->plan, st->o->parents.v[k]);
        if (away)
            r = point_table_to_live(w, m, st->name, s, e);
    }
    return r;
}

/* --- names that are taken --- */

static int lend_of(const struct swap *w, struct moves *m, const char *table,
                   const struct names *taken, struct server *s, struct err *e)
{
    struct constraints c = {NULL, 0};
    int r = read_constraints(w, table, s, &c, e);

    for (size_t i = 0; i < c.n && r == 0; i++)
        if (find_taken(taken, c.v[i].name))
            r = lend(w, m, table, &c.v[i], s, e);
    constraints_release(&c);
    if (r < 0 && r != -ENOTCONN)
        return err_prefix(e, "cannot prepare the constraints of '%.64s'", table);
    return r;
}

static int lend_names(const struct swap *w, struct moves *m, struct server *s, struct err *e)
{
    struct names taken = {NULL, 0};
    const char *last = "";
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = read_taken(w, m, s, &taken, e);

    if (r == 0 && taken.n > 0)
        r = query_names(w->schemas->stage, s, &res, e);
    while (r == 0 && res && (row = mysql_fetch_row(res))) {
        const struct taken *t = find_taken(&taken, row[1]);
        if (!t || !find_move(m, row[0]))
            continue;
        if (t->stays)
            r = err_set(e, EPERM,
                        "the %s '%.64s' of table '%.64s' cannot be made, for table '%.64s', which "
                        "stays, has one of that name: rename one of them",
                        *row[2] == '1' ? "check" : "foreign key", row[1], row[0], t->table);
        else if (strcmp(last, row[0]) != 0)
            r = lend_of(w, m, row[0], &taken, s, e);
        last = row[0];
    }
    if (res)
        mysql_free_result(res);
    names_release(&taken);
    return r;
}

/* --- the rename --- */

int swap_prepare(const struct swap *w, struct server *s, struct moves *ret, struct err *e)
{
    int r;

    make_moves(w, ret);
    r = move_record_forget(w->schemas, s, e);
    if (r == 0)
        r = point_all_to_live(w, ret, s, e);
    if (r == 0)
        r = lend_names(w, ret, s, e);
    if (r == 0)
        r = move_record_prove(w->schemas, ret, s, e);
    if (r == 0)
        r = commit_marker_prepare_marker(w->commit, s, e);
    crash_point("import.prepare");
    if (r == 0)
        r = move_record_write(w->schemas, ret, s, e);
    return r;
}

/* The server refused because somebody made, dropped or changed a table since the plan. */
static bool overtaken(const struct swap *w, struct server *s)
{
    struct live now;
    bool r = false;

    switch (s->code) {
    case ER_TABLE_EXISTS_ERROR:
    case ER_NO_SUCH_TABLE:
    case ER_FILE_NOT_FOUND:
    case ER_BAD_TABLE_ERROR:
    case ER_TRG_IN_WRONG_SCHEMA:
    case ER_FORBID_SCHEMA_CHANGE:
        break;
    default:
        return false;
    }
    if (live_read(s, w->schemas->database, &now, NULL) < 0)
        return false;
    for (size_t i = 0; i < w->plan->n && !r; i++) {
        const struct step *st = &w->plan->steps[i];
        const struct live_table *t = live_find(&now, st->name);
        if (step_is_swap(st) || st->action == ACTION_DROP)
            r = st->live != (t != NULL) || (t && st->aside != (t->triggers || t->view));
    }
    live_release(&now);
    return r;
}

int swap_try(const struct swap *w, const struct moves *m, struct server *s, struct err *e)
{
    struct buf b = BUF_INIT;
    struct err why = {0};
    int r;

    move_record_put_renames(w->schemas, m, VERDICT_FORWARD, &b);
    r = commit_marker_put_rename(w->schemas->stage, m->token, s, &b, e);
    crash_point("import.swap");
    if (r == 0) {
        r = server_run(s, b.data, b.len, &why);
        if (r == -EREMOTEIO && overtaken(w, s))
            r = err_set(e, ESTALE,
                        "somebody made, dropped or changed a table of '%s' during the import (%s)",
                        w->schemas->database, why.text);
        else if (r < 0 && e)
            *e = why;
    }
    crash_point("import.swapped");
    buf_release(&b);
    return r;
}
