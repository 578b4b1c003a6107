/* SPDX-License-Identifier: MIT */
/*
 * The live table that an old one belongs to is found in this order:
 *
 *     the record (move_record.h, or that of an earlier version) ─> the old table's own name, where that
 *     holds it whole ─> the same name, in the schema for old tables ─> unknown: the old one stays
 */
#include "sqlimport/apply/old_tables.h"

#include <stdlib.h>
#include <string.h>

#include "sqlimport/apply/commit_marker.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/opt.h"

/* --- names --- */

/*
 * The name shows the table, even without a record, and the import: the remains of a table that a
 * dying server leaves are listed nowhere, and would be in the way of the next one of that name. A
 * long name is cut.
 */
#define PLACE      "_eefs_was_"
#define PLACE_RUN  5  /* of the commit's token, and '_' */
#define PLACE_KEEP 49 /* bytes of the table's name */
#define PLACE_CUT  '~'

char *old_tables_name(const char *table, const char *token)
{
    struct hash h;
    char text[HASH_TEXT_CAP];
    size_t keep = PLACE_KEEP - 9;

    if (strlen(table) <= PLACE_KEEP)
        return xasprintf(PLACE "%.*s_%s", PLACE_RUN - 1, token, table);
    while (((unsigned char)table[keep] & 0xC0) == 0x80) /* not within a character */
        keep--;
    hash_bytes(table, strlen(table), &h);
    return xasprintf(PLACE "%.*s_%.*s%c%.8s", PLACE_RUN - 1, token, (int)keep, table, PLACE_CUT,
                     hash_text(&h, text) + HASH_TEXT_LEN - 8);
}

/* --- one table --- */

static int drop(struct server *s, const char *schema, const char *name, const char *type,
                struct err *e)
{
    char *q = server_name(schema), *n = server_name(name);
    int r = server_runf(s, e, "DROP %s IF EXISTS %s.%s",
                        strcmp(type, "SEQUENCE") == 0 ? "SEQUENCE"
                        : strcmp(type, "VIEW") == 0   ? "VIEW"
                                                      : "TABLE",
                        q, n);

    free(q);
    free(n);
    return r;
}

int old_tables_drop_aside(const struct schemas *c, const struct move *v, struct server *s,
                          struct err *e)
{
    char *schema = server_text(c->database), *name = server_text(v->place), *type = NULL;
    int r = server_value(s, &type, e,
                         "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s "
                         "AND TABLE_NAME=%s",
                         schema, name);

    if (r == 0 && type)
        r = drop(s, c->database, v->place, type, e);
    free(type);
    free(name);
    free(schema);
    return r;
}

/* --- sweep --- */

/* An earlier version set tables aside in the live database under a number; only its record in the
 * staging schema names their live tables. */
#define EARLIER_RECORD "_eefs_renames"
#define EARLIER_PLACE  "_eefs_old_"

struct sweeping {
    const struct schemas *c;
    struct server *s;
    struct moves m;
    struct strlist live;
    size_t back;
    bool earlier;       /* EARLIER_RECORD is there */
    struct buf unknown; /* names of tables that stay */
};

/* malloc'd name of the live table, or NULL when nothing shows it; *gone: there must be none. */
static char *original(const struct sweeping *g, const char *schema, const char *table, bool *gone)
{
    *gone = false;
    for (size_t i = 0; i < g->m.n; i++) {
        const struct move *v = &g->m.v[i];
        if (!v->place || strcmp(v->schema, schema) != 0 || strcmp(v->place, table) != 0)
            continue;
        *gone = v->kind == MOVE_DROP;
        return xstrdup(v->name);
    }
    if (strncmp(table, EARLIER_PLACE, strlen(EARLIER_PLACE)) == 0 &&
        strcmp(schema, g->c->database) == 0)
        return NULL;
    if (strncmp(table, PLACE, strlen(PLACE)) != 0) { /* put there by hand, or an importer's own */
        *gone = strncmp(table, "_eefs_", 6) == 0;
        return xstrdup(table);
    }
    if (strlen(table) <= strlen(PLACE) + PLACE_RUN || strchr(table, PLACE_CUT))
        return NULL;
    return xstrdup(table + strlen(PLACE) + PLACE_RUN);
}

static bool is_live(const struct sweeping *g, const char *name)
{
    for (size_t i = 0; i < g->live.n; i++)
        if (strcmp(g->live.v[i], name) == 0)
            return true;
    return false;
}

static int sweep_one(struct sweeping *g, const char *schema, const char *table, const char *type,
                     struct err *e)
{
    bool gone;
    char *name = original(g, schema, table, &gone);
    struct buf b = BUF_INIT;
    int r = 0;

    if (name && (gone || is_live(g, name))) {
        r = drop(g->s, schema, table, type, e);
    } else if (name) {
        move_record_put_rename(&b, schema, table, g->c->database, name);
        r = server_run(g->s, b.data, b.len, e);
        g->back += r == 0;
    } else {
        buf_printf(&g->unknown, "%s'%.64s'", g->unknown.len ? ", " : "", table);
    }
    buf_release(&b);
    free(name);
    return r;
}

static int read_live(struct sweeping *g, struct err *e)
{
    char *database = server_text(g->c->database);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_query(g->s, &res, e,
                         "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s",
                         database);

    while (r == 0 && (row = mysql_fetch_row(res)))
        strlist_add(&g->live, row[0]);
    if (res)
        mysql_free_result(res);
    free(database);
    return r;
}

static int sweep_all(struct sweeping *g, struct err *e)
{
    char *database = server_text(g->c->database), *old = server_text(g->c->old);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    /* With OR instead of UNION the server would read through all databases. */
    int r = server_query(g->s, &res, e,
                         "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM "
                         "information_schema.TABLES WHERE TABLE_SCHEMA=%s UNION ALL "
                         "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM "
                         "information_schema.TABLES WHERE TABLE_SCHEMA=%s AND (TABLE_NAME LIKE "
                         "'\\_eefs\\_was\\_%%' OR TABLE_NAME LIKE '\\_eefs\\_old\\_%%' OR "
                         "(TABLE_NAME='" RECORD_VIEW "' AND TABLE_TYPE='VIEW'))",
                         old, database);

    while (r == 0 && (row = mysql_fetch_row(res)))
        r = sweep_one(g, row[0], row[1], row[2], e);
    if (res)
        mysql_free_result(res);
    free(database);
    free(old);
    return r;
}

/* Adds the tables that an earlier version set aside to the moves. */
static int read_earlier(struct sweeping *g, struct err *e)
{
    char *text = server_text(g->c->stage), *stage = server_name(g->c->stage);
    char *database = server_text(g->c->database), *there = NULL;
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_value(g->s, &there, e,
                         "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s AND "
                         "TABLE_NAME='" EARLIER_RECORD "'",
                         text);

    g->earlier = there != NULL;
    if (r == 0 && there)
        r = server_query(g->s, &res, e,
                         "SELECT from_name, to_name FROM %s." EARLIER_RECORD
                         " WHERE from_schema=%s AND to_schema=%s",
                         stage, database, database);
    while (res && (row = mysql_fetch_row(res)))
        if (row[0] && row[1])
            moves_add(&g->m, MOVE_REPLACE, row[0], g->c->database, row[1]);
    if (res)
        mysql_free_result(res);
    free(there);
    free(text);
    free(stage);
    free(database);
    return r;
}

static int forget_earlier(struct sweeping *g, struct err *e)
{
    char *stage = server_name(g->c->stage);
    int r = g->earlier ? server_runf(g->s, e, "DROP TABLE IF EXISTS %s." EARLIER_RECORD, stage) : 0;

    free(stage);
    return r;
}

int old_tables_sweep(const struct schemas *c, struct server *s, size_t *ret_back,
                     char **ret_unknown, struct err *e)
{
    struct sweeping g = {.c = c, .s = s};
    int r = move_record_read(c, s, &g.m, e);

    if (r >= 0)
        r = read_earlier(&g, e);
    if (r == 0)
        r = read_live(&g, e);
    if (r == 0)
        r = sweep_all(&g, e);
    if (r == 0)
        r = forget_earlier(&g, e);
    crash_point("import.swept");
    if (r == 0)
        r = move_record_forget(c, s, e);
    if (r == 0)
        r = commit_marker_drop_markers(c->stage, s, e);
    *ret_back = g.back;
    if (ret_unknown)
        *ret_unknown = g.unknown.len > 0 ? xstrdup(g.unknown.data) : NULL;
    buf_release(&g.unknown);
    moves_release(&g.m);
    strlist_release(&g.live);
    return r;
}
