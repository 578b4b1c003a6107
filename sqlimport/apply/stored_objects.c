/* SPDX-License-Identifier: MIT */
/*
 * When what is made:
 *
 *     before the import: bodies are judged
 *     right after the RENAME: routines that changed ─> triggers of swapped tables     (as far as free)
 *     at the end: drop what is gone ─> rounds over the rest, until a round makes none
 *
 * Rounds, because a view may need views and functions that come later in the dump. What exists is
 * replaced in one statement where the server can (MariaDB; views everywhere), so that it is never
 * missing. Triggers of one table run in the order in which they were made, so if one is made, all
 * are.
 */
#include "sqlimport/apply/stored_objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/apply/exchange.h"
#include "sqlimport/sql/body.h"
#include "sqlimport/sql/stored_grammar.h"
#include "sync/common/buf.h"

#define SHOWN 5 /* names in a sentence */

/* --- judging --- */

static int check_one(const struct dump *d, const struct object *o, const char *database,
                     struct err *e)
{
    struct token_mode mode = session_vars_mode_of(d->vars, o->vars_id);
    char *table = NULL, *definer = NULL;
    size_t body;
    int r = stored_grammar_read(o->kind, o->ddl, o->ddl_len, mode, &body, &table, &definer, e);

    free(table);
    free(definer);
    if (r == 0)
        r = body_check(o->ddl + body, o->ddl_len - body, mode, o->kind == OBJECT_VIEW, database, e);
    return r;
}

static bool is_listed(const struct strlist *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], name) == 0)
            return true;
    return false;
}

static void set_fault(struct dump_fault *fault, const struct object *o)
{
    snprintf(fault->table, sizeof(fault->table), "%s", o->name);
    fault->offset = o->offset;
    fault->line = o->line;
}

int stored_objects_check(const struct dump *d, const char *database, const struct strlist *allow,
                         struct dump_fault *fault, struct err *e)
{
    for (size_t i = 0; i < d->n; i++) {
        const struct object *o = d->objects[i];
        struct err why = {0};
        if (object_is_table(o) || is_listed(allow, o->name) || check_one(d, o, database, &why) == 0)
            continue;
        set_fault(fault, o);
        return err_set(e, EPERM,
                       "the body of %s '%.64s' %s, which an import does not allow; if you trust "
                       "it, give the importer --allow-body '%.64s'",
                       object_kind_name(o->kind), o->name, why.text, o->name);
    }
    return 0;
}

/* `user`@`host` as user@host. */
static char *account_text(const char *definer, struct token_mode mode)
{
    struct buf b = BUF_INIT;
    struct lexer l;
    struct token t;

    lexer_init(&l, definer, strlen(definer), mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        char *text = token_text(&t, mode);
        buf_printf(&b, "%s%s", t.type == TOKEN_USER ? "@" : "", text);
        free(text);
    }
    return buf_detach(&b);
}

static bool is_current_user(const struct object *o, struct token_mode mode, const char *me)
{
    char *text = account_text(o->definer, mode);
    bool is = strcmp(text, me) == 0 || strncasecmp(text, "CURRENT_USER", 12) == 0;

    free(text);
    return is;
}

char *stored_objects_definers(const struct dump *d, struct server *s)
{
    struct buf b = BUF_INIT;
    char *me = NULL, *text;
    size_t n = 0;

    if (server_value(s, &me, NULL, "SELECT CURRENT_USER()") < 0 || !me)
        return NULL;
    for (size_t i = 0; i < d->n; i++) {
        const struct object *o = d->objects[i];
        if (!o->definer || is_current_user(o, session_vars_mode_of(d->vars, o->vars_id), me))
            continue;
        if (n++ < SHOWN) {
            text = account_text(o->definer, session_vars_mode_of(d->vars, o->vars_id));
            buf_printf(&b, "%s'%.64s' (%.80s)", n > 1 ? ", " : "", o->name, text);
            free(text);
        }
    }
    text = n == 0
               ? NULL
               : xasprintf("the importer's account %s is the definer here of %zu views, triggers, "
                           "routines and events, for which the dump names another account: %s%s",
                           me, n, b.data, n > SHOWN ? ", …" : "");
    buf_release(&b);
    free(me);
    return text;
}

/* --- making --- */

static bool table_swapped(const struct plan *p, const char *table)
{
    const struct step *st = plan_find(p, table);

    return st && step_is_swap(st);
}

/* malloc'd: the name of the live object that the server takes for this one, or NULL. */
static char *find_there(struct server *s, const char *database, const struct object *o)
{
    static const struct {
        const char *view, *prefix, *more;
    } places[] = {
        [OBJECT_VIEW] = {"VIEWS", "TABLE", ""},
        [OBJECT_TRIGGER] = {"TRIGGERS", "TRIGGER", ""},
        [OBJECT_FUNCTION] = {"ROUTINES", "ROUTINE", " AND ROUTINE_TYPE='FUNCTION'"},
        [OBJECT_PROCEDURE] = {"ROUTINES", "ROUTINE", " AND ROUTINE_TYPE='PROCEDURE'"},
        [OBJECT_EVENT] = {"EVENTS", "EVENT", ""},
    };
    const char *prefix = places[o->kind].prefix;
    char *schema = server_text(database), *name = server_text(o->name), *there = NULL;

    (void)server_value(s, &there, NULL,
                       "SELECT %s_NAME FROM information_schema.%s WHERE %s_SCHEMA=%s AND "
                       "%s_NAME=%s%s",
                       prefix, places[o->kind].view, prefix, schema, prefix, name,
                       places[o->kind].more);
    free(schema);
    free(name);
    return there;
}

static bool is_there(struct server *s, const char *database, const struct object *o)
{
    char *there = find_there(s, database, o);

    free(there);
    return there != NULL;
}

/* To the server, e and é are the same in names of routines and events: an object that the dump does
 * not name must not be replaced by one that it names. */
static int check_name(const struct stored_objects *w, struct server *s, const struct object *o,
                      struct err *e)
{
    char *there = find_there(s, w->schemas->database, o);
    int r = 0;

    if (there && strcasecmp(there, o->name) != 0 && !dump_find(w->plan->dump, o->kind, there))
        r = err_set(e, EPERM,
                    "the server has '%.64s', which the dump does not name and which is the same "
                    "name to the server; drop or rename it",
                    there);
    free(there);
    return r;
}

/* With "OR REPLACE" behind CREATE, so that the object is never missing. A view may get another
 * name. */
static int replace(struct server *s, const struct object *o, struct token_mode mode,
                   const char *name, struct err *e)
{
    struct buf b = BUF_INIT;
    struct lexer l;
    struct token t;
    const char *rest;
    int r;

    lexer_init(&l, o->ddl, o->ddl_len, mode);
    lexer_next(&l, &t); /* CREATE */
    rest = l.p;
    buf_append(&b, o->ddl, (size_t)(rest - o->ddl));
    lexer_next(&l, &t);
    if (!token_is(&t, "OR"))
        buf_puts(&b, " OR REPLACE ");
    while (name && t.type != TOKEN_END && !token_is(&t, "VIEW"))
        lexer_next(&l, &t);
    if (name) {
        buf_append(&b, rest, (size_t)(l.p - rest));
        buf_printf(&b, " %s", name);
        lexer_next(&l, &t);
        rest = l.p;
    }
    buf_append(&b, rest, (size_t)(o->ddl + o->ddl_len - rest));
    r = server_run(s, b.data, b.len, e);
    buf_release(&b);
    return r;
}

/* OR REPLACE does not move a trigger from one table to another. */
static int free_trigger_name(const struct stored_objects *w, struct server *s,
                             const struct object *o, struct err *e)
{
    char *schema = server_text(w->schemas->database), *text = server_text(o->name), *table = NULL;
    char *name = server_name(o->name);
    int r = server_value(s, &table, e,
                         "SELECT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE "
                         "TRIGGER_SCHEMA=%s AND TRIGGER_NAME=%s",
                         schema, text);

    if (r == 0 && table && strcmp(table, o->table) != 0)
        r = server_runf(s, e, "DROP TRIGGER IF EXISTS %s", name);
    free(table);
    free(schema);
    free(text);
    free(name);
    return r;
}

/* MySQL replaces views only. */
static int make_one(const struct stored_objects *w, struct server *s, const struct object *o,
                    struct err *e)
{
    const struct session_vars *vars = w->plan->dump->vars;
    bool can_replace = o->kind == OBJECT_VIEW || server_is_mariadb(s);
    char *name = server_name(o->name);
    int r = check_name(w, s, o, e);

    if (r == 0 && !can_replace)
        r = server_runf(s, e, "DROP %s IF EXISTS %s", object_kind_name(o->kind), name);
    else if (o->kind == OBJECT_TRIGGER)
        r = free_trigger_name(w, s, o, e);
    if (r == 0)
        r = server_set_vars(s, vars, o->vars_id, e);
    if (r == 0)
        r = can_replace ? replace(s, o, session_vars_mode_of(vars, o->vars_id), NULL, e)
                        : server_run(s, o->ddl, o->ddl_len, e);
    free(name);
    return r;
}

/* A view whose name a table has so far. */
static bool takes_a_table(const struct stored_objects *w, struct server *s, const struct object *o)
{
    const struct step *st = o->kind == OBJECT_VIEW ? plan_find(w->plan, o->name) : NULL;

    return st && st->action == ACTION_VIEW && !is_there(s, w->schemas->database, o);
}

static int make_view_of_table(const struct stored_objects *w, struct server *s,
                              const struct object *o, struct err *e)
{
    const struct session_vars *vars = w->plan->dump->vars;
    int r = exchange_begin(w->schemas, s, e);

    if (r == 0)
        r = server_set_vars(s, vars, o->vars_id, e);
    if (r == 0)
        r = replace(s, o, session_vars_mode_of(vars, o->vars_id), RECORD_VIEW, e);
    return r < 0 ? r : exchange_view(w->schemas, &w->plan->dump->hash, o->name, s, e);
}

/* --- what is gone from the dump --- */

struct gone {
    const struct stored_objects *w;
    enum object_kind kind;
    struct strlist names;
};

static int note_gone(void *arg, const char *name, const struct past *past)
{
    struct gone *g = arg;

    (void)past;
    if (!dump_find(g->w->plan->dump, g->kind, name))
        strlist_add(&g->names, name);
    return 0;
}

static int drop_gone(const struct stored_objects *w, struct server *s, enum object_kind kind,
                     struct err *e)
{
    struct gone g = {.w = w, .kind = kind};
    int r = history_each(w->history, object_kind_name(kind), note_gone, &g, e);

    for (size_t i = 0; i < g.names.n && r == 0; i++) {
        char *name = server_name(g.names.v[i]);
        do
            r = server_runf(s, e, "DROP %s IF EXISTS %s", object_kind_name(kind), name);
        while (r == -EAGAIN && lock_retry_again(w->lock_retry));
        free(name);
        if (r == 0) {
            r = history_forget(w->history, object_kind_name(kind), g.names.v[i]);
            r = r < 0 ? err_sys(e, -r, "cannot write the import history") : 0;
        }
    }
    strlist_release(&g.names);
    return r;
}

static int drop_all_gone(const struct stored_objects *w, struct server *s, struct err *e)
{
    static const enum object_kind kinds[] = {OBJECT_VIEW, OBJECT_FUNCTION, OBJECT_PROCEDURE,
                                             OBJECT_EVENT};
    int r = drop_gone(w, s, OBJECT_TRIGGER, e);

    for (size_t i = 0; w->drop_missing && i < sizeof(kinds) / sizeof(*kinds) && r == 0; i++)
        r = drop_gone(w, s, kinds[i], e);
    return r;
}

/* --- all --- */

static bool differs(const struct stored_objects *w, struct server *s, const struct object *o)
{
    struct past past;

    return (o->table && table_swapped(w->plan, o->table)) ||
           !history_object(w->history, object_kind_name(o->kind), o->name, &past) ||
           !hash_eq(&past.hash, &o->hash) || !is_there(s, w->schemas->database, o);
}

/* It is a trigger of a table whose triggers are made again. */
static bool shares_table(struct object *const *todo, size_t n, const struct object *o)
{
    for (size_t i = 0; i < n; i++)
        if (o->table && todo[i]->table && strcmp(o->table, todo[i]->table) == 0)
            return true;
    return false;
}

static size_t choose(const struct stored_objects *w, struct server *s, struct object **todo)
{
    const struct dump *d = w->plan->dump;
    bool *wanted = xcalloc(d->n + 1, sizeof(*wanted));
    size_t n = 0, all = 0;

    for (size_t i = 0; i < d->n; i++)
        if (!object_is_table(d->objects[i]) && !w->made[i] &&
            (wanted[i] = differs(w, s, d->objects[i])))
            todo[n++] = d->objects[i];
    for (size_t i = 0; i < d->n; i++)
        wanted[i] = wanted[i] || shares_table(todo, n, d->objects[i]);
    for (size_t i = 0; i < d->n; i++)
        if (wanted[i])
            todo[all++] = d->objects[i];
    free(wanted);
    return all;
}

static bool is_routine(const struct object *o)
{
    return o->kind == OBJECT_FUNCTION || o->kind == OBJECT_PROCEDURE;
}

static bool is_new_routine(const struct stored_objects *w, const struct object *o)
{
    struct past past;

    return is_routine(o) &&
           !(history_object(w->history, object_kind_name(o->kind), o->name, &past) &&
             hash_eq(&past.hash, &o->hash));
}

static bool has_swapped_table(const struct stored_objects *w, const struct object *o)
{
    return o->kind == OBJECT_TRIGGER && table_swapped(w->plan, o->table);
}

/* In as few statements as possible. */
static int make_trigger(const struct stored_objects *w, struct server *s, const struct object *o,
                        struct err *e)
{
    char *name = server_name(o->name);
    int r = server_runf(s, e, "DROP TRIGGER IF EXISTS %s", name);

    if (r == 0)
        r = server_set_vars(s, w->plan->dump->vars, o->vars_id, e);
    if (r == 0)
        r = server_run(s, o->ddl, o->ddl_len, e);
    free(name);
    return r;
}

int stored_objects_make_triggers(const struct stored_objects *w, struct server *s, struct err *e)
{
    const struct dump *d = w->plan->dump;
    char *database = server_name(w->schemas->database);
    bool any = false;
    int r = 0;

    for (size_t i = 0; i < d->n; i++)
        any = any || has_swapped_table(w, d->objects[i]);
    if (any)
        r = server_runf(s, e, "USE %s", database);
    for (int triggers = 0; any && triggers < 2; triggers++)
        for (size_t i = 0; i < d->n && r == 0; i++) {
            const struct object *o = d->objects[i];
            if (w->made[i] || !(triggers ? has_swapped_table(w, o) : is_new_routine(w, o)))
                continue;
            r = triggers ? make_trigger(w, s, o, e) : make_one(w, s, o, e);
            w->made[i] = r == 0;
        }
    free(database);
    return r == -EAGAIN || r == -ENOTCONN ? r : 0;
}

/* One round over what is left: 1: another one may make more; 0: all is made. */
static int make_round(const struct stored_objects *w, struct server *s, struct object **todo,
                      size_t *n, struct dump_fault *fault, struct err *e)
{
    size_t left = 0;
    bool busy = false;

    for (size_t i = 0; i < *n; i++) {
        int r = takes_a_table(w, s, todo[i]) ? make_view_of_table(w, s, todo[i], e)
                                             : make_one(w, s, todo[i], e);
        if (r == -ENOTCONN)
            return r;
        if (r == 0)
            continue;
        busy = busy || r == -EAGAIN;
        set_fault(fault, todo[i]);
        todo[left++] = todo[i];
    }
    if (left > 0 && left == *n && !(busy && lock_retry_again(w->lock_retry)))
        return err_prefix(e, "imported the tables, but cannot make '%.64s'", fault->table);
    *n = left;
    return left > 0;
}

int stored_objects_make(const struct stored_objects *w, struct server *s, int64_t *ret_n,
                        struct dump_fault *fault, struct err *e)
{
    struct object **todo = xcalloc(w->plan->dump->n + 1, sizeof(*todo));
    char *database = server_name(w->schemas->database);
    size_t n = 0;
    int r = server_runf(s, e, "USE %s", database);

    if (r == 0)
        r = drop_all_gone(w, s, e);
    if (r == 0) {
        n = choose(w, s, todo);
        *ret_n = (int64_t)n;
        for (size_t i = 0; i < w->plan->dump->n; i++)
            *ret_n += w->made[i];
    }
    /* As long as a round makes one, the next may make more. */
    while (r == 0 && n > 0 && (r = make_round(w, s, todo, &n, fault, e)) == 1)
        r = 0;
    if (r == 0)
        memset(fault, 0, sizeof(*fault));
    free(todo);
    free(database);
    return r;
}
