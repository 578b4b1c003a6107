/* SPDX-License-Identifier: MIT */
/*
 * Two things stand in the way of the staged tables' constraints:
 *
 *   A table with triggers cannot leave its schema, so it is set aside within the live database, and the
 *   names of its keys stay taken until it is dropped. A staged constraint of such a name gets a
 *   temporary one, _eefs_TOKEN_N, and the right one when the name is free:
 *
 *     prepare: staged `fk` -> `_eefs_…`     RENAME     old table dropped     return: `_eefs_…` -> `fk`
 *
 *   A staged foreign key to a table that is not staged would keep the staging schema in it. It is made
 *   anew with the live table; where that one is dropped, it is made anew (a loan) once the name is free.
 */
#include "sqlimport/apply/loans.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/constraints.h"
#include "sync/common/buf.h"

/* The arguments of a preparation. */
struct lending {
    const struct plan *plan;
    const struct schemas *schemas;
};

static int rename_constraint(struct server *s, const char *schema, const struct loan *l,
                             const char *from, const char *to, struct err *e)
{
    char *q = server_name(schema), *table = server_name(l->table);
    char *f = server_name(from), *t = server_name(to);
    int r = server_runf(s, e, "USE %s", q); /* where old servers look for the parent */

    if (r == 0)
        r = server_runf(s, e, "ALTER TABLE %s.%s DROP %s %s, ADD CONSTRAINT %s %s", q, table,
                        l->drop, f, t, l->clause);

    free(q);
    free(table);
    free(f);
    free(t);
    return r;
}

/* --- the names that are taken --- */

/* A name that is taken as long as its table lies in the live database. */
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

/* The names that stay taken in the live database when the new tables arrive. */
static int read_taken(const struct lending *w, const struct moves *m, struct server *s,
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

static int read_constraints(const struct lending *w, const char *table, struct server *s,
                            struct constraints *ret, struct err *e)
{
    char *ddl = NULL;
    int r = server_table_ddl(s, w->schemas->stage, table, &ddl, e);

    if (r == 0)
        constraints_read(ret, ddl, strlen(ddl), (struct token_mode){0});
    free(ddl);
    return r;
}

/* Notes a loan, and renames the staged table's constraint. */
static int lend(const struct lending *w, struct moves *m, const char *table,
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
    return rename_constraint(s, w->schemas->stage, &l, l.name, l.temporary, e);
}

/* --- parents that are not swapped --- */

static bool is_swapped(const struct plan *p, const char *table)
{
    const struct step *st = plan_find(p, table);

    return st && step_is_swap(st);
}

/* A key to a table that is not staged would keep the staging schema in it. */
static int point_to_live(const struct lending *w, const char *table, const struct constraint *c,
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

/* A key would follow a parent that is dropped: it is lent, and returned to the name of the
 * parent. */
static int point_table_to_live(const struct lending *w, struct moves *m, const char *table,
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

static int point_all_to_live(const struct lending *w, struct moves *m, struct server *s,
                             struct err *e)
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

/* --- lending names --- */

static int lend_of(const struct lending *w, struct moves *m, const char *table,
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

static int lend_names(const struct lending *w, struct moves *m, struct server *s, struct err *e)
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
                        "cannot make the %s '%.64s' of table '%.64s': table '%.64s', which stays, "
                        "has one of that name; rename one of them",
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

int loans_prepare(const struct plan *p, const struct schemas *c, struct moves *m, struct server *s,
                  struct err *e)
{
    const struct lending w = {.plan = p, .schemas = c};
    int r = point_all_to_live(&w, m, s, e);

    return r < 0 ? r : lend_names(&w, m, s, e);
}

/* --- giving names back --- */

/* Does the constraint still bear its temporary name? */
static int is_lent(const struct schemas *c, const struct loan *l, struct server *s, bool *ret,
                   struct err *e)
{
    char *schema = server_text(c->database), *table = server_text(l->table);
    char *name = server_text(l->temporary), *there = NULL;
    int r = server_value(s, &there, e,
                         "SELECT 1 FROM information_schema.TABLE_CONSTRAINTS WHERE "
                         "CONSTRAINT_SCHEMA=%s AND TABLE_NAME=%s AND CONSTRAINT_NAME=%s",
                         schema, table, name);

    *ret = there != NULL;
    free(there);
    free(name);
    free(table);
    free(schema);
    return r;
}

int loans_return(const struct schemas *c, const struct moves *m, struct server *s, char **ret_odd,
                 struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < m->n_loans && r == 0; i++) {
        const struct loan *l = &m->loans[i];
        bool lent = false;
        r = is_lent(c, l, s, &lent, e);
        if (r == 0 && lent)
            r = rename_constraint(s, c->database, l, l->temporary, l->name, e);
        if (r < 0 && r != -EAGAIN && r != -ENOTCONN) {
            if (ret_odd && !*ret_odd)
                *ret_odd = xstrdup(l->name);
            r = 0;
        }
    }
    return r;
}
