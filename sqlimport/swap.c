/* SPDX-License-Identifier: MIT */
#include "sqlimport/swap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"

#define ASIDE "_eefs_old_" /* set aside within the live database */

int swap_prepare(struct swap *w, struct server *s, struct err *e)
{
    char *stage = server_name(w->stage);
    char hash[HASH_TEXT_CAP];
    uint8_t bytes[16];
    int r;

    file_random(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(w->token + 2 * i, 3, "%02x", bytes[i]);
    r = server_runf(s, e, "DROP TABLE IF EXISTS %s._eefs_state_new", stage);
    if (r == 0)
        r = server_runf(s, e,
                        "CREATE TABLE %s._eefs_state_new (token CHAR(32) PRIMARY KEY, "
                        "hash CHAR(67), made TIMESTAMP) ENGINE=InnoDB DEFAULT CHARSET=ascii",
                        stage);
    if (r == 0)
        r = server_runf(s, e, "INSERT INTO %s._eefs_state_new VALUES('%s', '%s', NOW())", stage,
                        w->token, hash_text(&w->plan->dump->hash, hash));
    free(stage);
    return r;
}

static int has_state(struct swap *w, struct server *s, bool *ret, struct err *e)
{
    char *text = server_text(w->stage), *there = NULL;
    int r = server_value(s, &there, e,
                         "SELECT 1 FROM information_schema.TABLES WHERE "
                         "TABLE_SCHEMA=%s AND TABLE_NAME='_eefs_state'",
                         text);

    *ret = there != NULL;
    free(there);
    free(text);
    return r;
}

static void rename_one(struct buf *b, const struct swap *w, const struct step *st, size_t i)
{
    char *live = server_name(w->database), *stage = server_name(w->stage);
    char *old = server_name(w->old), *name = server_name(st->o->name);

    /* A table with triggers cannot leave its schema. */
    if (st->live && st->triggers)
        buf_printf(b, "%s.%s TO %s." ASIDE "%zu, ", live, name, live, i);
    else if (st->live)
        buf_printf(b, "%s.%s TO %s.%s, ", live, name, old, name);
    buf_printf(b, "%s.%s TO %s.%s, ", stage, name, live, name);
    free(live);
    free(stage);
    free(old);
    free(name);
}

int swap_try(struct swap *w, struct server *s, struct err *e)
{
    char *stage = server_name(w->stage), *old = server_name(w->old);
    struct buf b = BUF_INIT;
    bool state = false;
    int r = has_state(w, s, &state, e);

    buf_puts(&b, "RENAME TABLE ");
    for (size_t i = 0; i < w->plan->n; i++)
        if (w->plan->steps[i].action == ACTION_SWAP || w->plan->steps[i].action == ACTION_NEW)
            rename_one(&b, w, &w->plan->steps[i], i);
    if (state)
        buf_printf(&b, "%s._eefs_state TO %s._eefs_state, ", stage, old);
    buf_printf(&b, "%s._eefs_state_new TO %s._eefs_state", stage, stage);
    if (r == 0)
        r = server_runf(s, e, "SET SESSION lock_wait_timeout=1");
    crash_point("import.swap");
    if (r == 0)
        r = server_run(s, b.data, b.len, e);
    crash_point("import.swapped");
    server_runf(s, NULL, "SET SESSION lock_wait_timeout=60");
    buf_release(&b);
    free(stage);
    free(old);
    return r;
}

int swap_is_done(struct swap *w, struct server *s, struct err *e)
{
    char *stage = server_name(w->stage), *there = NULL;
    bool state = false;
    int r = has_state(w, s, &state, e);

    if (r == 0 && state)
        r = server_value(s, &there, e, "SELECT 1 FROM %s._eefs_state WHERE token='%s'", stage,
                         w->token);
    free(stage);
    if (r == 0)
        r = there != NULL;
    free(there);
    return r;
}

int swap_clean(struct server *s, const char *database, struct err *e)
{
    char *text = server_text(database), *name = server_name(database);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_query(s, &res, e,
                         "SELECT TABLE_NAME FROM information_schema.TABLES WHERE "
                         "TABLE_SCHEMA=%s AND TABLE_NAME LIKE '\\_eefs\\_old\\_%%'",
                         text);

    while (r == 0 && (row = mysql_fetch_row(res))) {
        char *table = server_name(row[0]);
        r = server_runf(s, e, "DROP TABLE IF EXISTS %s.%s", name, table);
        free(table);
    }
    if (res)
        mysql_free_result(res);
    free(text);
    free(name);
    return r;
}

static bool table_swapped(const struct plan *p, const char *table)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->steps[i].o->name, table) == 0)
            return p->steps[i].action == ACTION_SWAP || p->steps[i].action == ACTION_NEW;
    return false;
}

static bool is_there(struct server *s, const char *database, const struct object *o)
{
    static const char *const queries[] = {
        [OBJECT_VIEW] = "SELECT 1 FROM information_schema.VIEWS WHERE TABLE_SCHEMA=%s AND "
                        "TABLE_NAME=%s",
        [OBJECT_TRIGGER] = "SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA=%s AND "
                           "TRIGGER_NAME=%s",
        [OBJECT_FUNCTION] = "SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA=%s AND "
                            "ROUTINE_NAME=%s AND ROUTINE_TYPE='FUNCTION'",
        [OBJECT_PROCEDURE] = "SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA=%s "
                             "AND ROUTINE_NAME=%s AND ROUTINE_TYPE='PROCEDURE'",
        [OBJECT_EVENT] = "SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA=%s AND "
                         "EVENT_NAME=%s",
    };
    char *schema = server_text(database), *name = server_text(o->name), *there = NULL;
    const char *query = queries[o->kind];
    const char *second = strstr(strstr(query, "%s") + 2, "%s");
    const char *first = strstr(query, "%s");
    bool found;

    (void)server_value(s, &there, NULL, "%.*s%s%.*s%s%s", (int)(first - query), query, schema,
                       (int)(second - first - 2), first + 2, name, second + 2);
    found = there != NULL;
    free(there);
    free(schema);
    free(name);
    return found;
}

/* "OR REPLACE" behind CREATE: a view is never missing for a moment. */
static int replace_view(struct server *s, const struct object *o, struct token_mode mode,
                        struct err *e)
{
    struct buf b = BUF_INIT;
    struct lexer l;
    struct token t;
    int r;

    lexer_init(&l, o->ddl, o->ddl_len, mode);
    lexer_next(&l, &t); /* CREATE */
    buf_append(&b, o->ddl, (size_t)(l.p - o->ddl));
    lexer_next(&l, &t);
    if (!token_is(&t, "OR"))
        buf_puts(&b, " OR REPLACE ");
    l.p = o->ddl + b.len - (token_is(&t, "OR") ? 0 : strlen(" OR REPLACE "));
    buf_append(&b, l.p, (size_t)(o->ddl + o->ddl_len - l.p));
    r = server_run(s, b.data, b.len, e);
    buf_release(&b);
    return r;
}

static int make_one(struct swap *w, struct server *s, const struct object *o, struct err *e)
{
    const struct env *env = w->plan->dump->env;
    char *name = server_name(o->name);
    int r = 0;

    if (o->kind != OBJECT_VIEW)
        r = server_runf(s, e, "DROP %s IF EXISTS %s", object_kind_name(o->kind), name);
    if (r == 0)
        r = server_env(s, env, o->env, e);
    if (r == 0)
        r = o->kind == OBJECT_VIEW ? replace_view(s, o, env_mode_of(env, o->env), e)
                                   : server_run(s, o->ddl, o->ddl_len, e);
    free(name);
    return r;
}

int swap_others(struct swap *w, struct server *s, struct history *h, int64_t *ret_n,
                struct dump_fault *fault, struct err *e)
{
    const struct dump *d = w->plan->dump;
    struct object **todo = xcalloc(d->n + 1, sizeof(*todo));
    char *database = server_name(w->database);
    size_t n = 0;
    int r = server_runf(s, e, "USE %s", database);

    for (size_t i = 0; i < d->n; i++) {
        struct object *o = d->objects[i];
        struct hash hash;
        char mark[160];

        if (object_is_table(o))
            continue;
        if (o->table && table_swapped(w->plan, o->table))
            todo[n++] = o;
        else if (!history_object(h, object_kind_name(o->kind), o->name, &hash, mark,
                                 sizeof(mark)) ||
                 !hash_eq(&hash, &o->hash) || !is_there(s, w->database, o))
            todo[n++] = o;
    }
    *ret_n = (int64_t)n;
    /* Views may need views and functions that come later: as long as a round makes one, go on. */
    while (r == 0 && n > 0) {
        size_t left = 0;
        for (size_t i = 0; i < n; i++) {
            int r2 = make_one(w, s, todo[i], e);
            if (r2 == -ENOTCONN) {
                r = r2;
                break;
            }
            if (r2 == 0)
                continue;
            snprintf(fault->table, sizeof(fault->table), "%s", todo[i]->name);
            fault->line = todo[i]->line;
            dump_excerpt(fault->excerpt, sizeof(fault->excerpt), todo[i]->ddl, todo[i]->ddl_len);
            todo[left++] = todo[i];
        }
        if (r == 0 && left == n)
            r = err_prefix(e, "the tables are imported, but '%.64s' cannot be made", fault->table);
        n = left;
    }
    if (r == 0)
        memset(fault, 0, sizeof(*fault));
    free(todo);
    free(database);
    return r;
}
