/* SPDX-License-Identifier: MIT */
#include "sqlimport/apply/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/apply/commit_marker.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/opt.h"

#define ROUNDS 6 /* each brings the tables nearer to their end */

/*
 * The name tells which table it is, also without a record, and of which import: what a server that
 * died leaves of a table is listed nowhere, and in the way of the next one of that name. A longer
 * one is cut.
 */
#define PLACE      "_eefs_was_"
#define PLACE_RUN  5  /* of the commit's token, and '_' */
#define PLACE_KEEP 49 /* bytes of the table's name */
#define PLACE_CUT  '~'

char *recover_place_name(const char *table, const char *token)
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

/* --- is there anything --- */

/* With OR the server would look through all databases. */
int recover_is_due(const struct schemas *c, struct server *s, struct err *e)
{
    char *stage = server_text(c->stage), *old = server_text(c->old);
    char *database = server_text(c->database), *there = NULL;
    int r = server_value(
        s, &there, e,
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s AND "
        "TABLE_NAME<>'" COMMIT_STATE "' UNION ALL SELECT 1 FROM information_schema.TABLES WHERE "
        "TABLE_SCHEMA=%s UNION ALL SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s "
        "AND TABLE_NAME LIKE '\\_eefs\\_%%' LIMIT 1",
        stage, old, database);

    if (r == 0)
        r = there != NULL;
    free(there);
    free(stage);
    free(old);
    free(database);
    return r;
}

/* --- settle --- */

struct settling {
    const struct schemas *c;
    struct server *s;
    bool acted;
    bool stuck;     /* the server does not bring it to its end */
    char *copied;   /* a table that could not come back but as a copy */
    int r;          /* of the renames */
    struct err err; /* their first error */
};

/* Frees a name for what comes there. */
static void clear_torn(void *arg, const struct move *v, enum moves_where from, enum moves_where to)
{
    struct settling *g = arg;
    const char *schema, *name;
    char *q, *n;

    (void)from;
    if (!v->torn[to] || g->r < 0)
        return;
    move_record_where(g->c, v, to, &schema, &name);
    q = server_name(schema);
    n = server_name(name);
    g->r = server_runf(g->s, &g->err, "DROP TABLE IF EXISTS %s.%s", q, n);
    free(q);
    free(n);
}

/*
 * Where a table tore on its way into the live database, the server's own books take its name for
 * one that it does not show, and no other of that engine can have it. Visitors get a copy of the
 * old one, which was set aside, in an engine without such books.
 */
static int copy_back(const struct settling *g, const struct move *v, struct err *e)
{
    char *stage = server_name(g->c->stage), *database = server_name(g->c->database);
    char *schema = server_name(v->schema), *place = server_name(v->place);
    char *name = server_name(v->name);
    int r = server_runf(g->s, e, "DROP TABLE IF EXISTS %s._eefs_copy", stage);

    if (r == 0)
        r = server_runf(g->s, e, "CREATE TABLE %s._eefs_copy LIKE %s.%s", stage, schema, place);
    if (r == 0)
        r = server_runf(g->s, e, "ALTER TABLE %s._eefs_copy ENGINE=MyISAM", stage);
    if (r == 0)
        r = server_runf(g->s, e, "INSERT INTO %s._eefs_copy SELECT * FROM %s.%s", stage, schema,
                        place);
    if (r == 0)
        r = server_runf(g->s, e, "RENAME TABLE %s._eefs_copy TO %s.%s", stage, database, name);
    if (r == 0) /* all of it is in the live database */
        r = server_runf(g->s, e, "DROP TABLE %s.%s", schema, place);
    free(stage);
    free(database);
    free(schema);
    free(place);
    free(name);
    return r;
}

/* Some servers (MariaDB 10.5) drop what only their books have. */
static int forget_unlisted(const struct settling *g, const struct move *v, enum moves_where to)
{
    const char *schema, *name;
    char *q, *n;
    int r;

    if (to != WHERE_LIVE || v->live)
        return -EEXIST;
    move_record_where(g->c, v, to, &schema, &name);
    q = server_name(schema);
    n = server_name(name);
    r = server_runf(g->s, NULL, "DROP TABLE %s.%s", q, n);
    free(q);
    free(n);
    return r;
}

/* By itself, so that one that fails does not hold back the others. */
static void rename_one(void *arg, const struct move *v, enum moves_where from, enum moves_where to)
{
    struct settling *g = arg;
    const char *fs, *f, *ts, *t;
    struct buf b = BUF_INIT;
    struct err e = {0};
    int r;

    move_record_where(g->c, v, from, &fs, &f);
    move_record_where(g->c, v, to, &ts, &t);
    move_record_put_rename(&b, fs, f, ts, t);
    r = server_run(g->s, b.data, b.len, &e);
    if (r == -EREMOTEIO && from == WHERE_PLACE && forget_unlisted(g, v, to) == 0)
        r = server_run(g->s, b.data, b.len, &e);
    if (r == -EREMOTEIO && from == WHERE_PLACE && copy_back(g, v, NULL) == 0) {
        free(g->copied);
        g->copied = xstrdup(v->name);
        r = 0;
    }
    if (r < 0 && g->r == 0) {
        g->r = r;
        g->err = e;
    }
    buf_release(&b);
}

static void rename_all(struct settling *g, const struct moves *m, enum verdict verdict)
{
    struct buf b = BUF_INIT;

    move_record_put_renames(g->c, m, verdict, &b);
    if (verdict == VERDICT_FORWARD)
        g->r = commit_marker_put_rename(g->c->stage, m->token, g->s, &b, &g->err);
    if (g->r == 0)
        g->r = server_run(g->s, b.data, b.len, &g->err);
    buf_release(&b);
}

/* It may work another time. */
static bool passes(int r)
{
    return r == -EAGAIN || r == -ENOTCONN || r == -EACCES || r == -ENOSPC;
}

static int act(struct settling *g, const struct moves *m, enum verdict verdict, struct err *e)
{
    g->r = 0;
    moves_each(m, verdict, clear_torn, g);
    crash_point("recover.rename");
    if (g->r == 0)
        rename_all(g, m, verdict);
    crash_point("recover.renamed");
    if (g->r == 0) {
        g->acted = true;
        return 0;
    }
    if (verdict == VERDICT_FORWARD && !passes(g->r)) {
        g->stuck = true;
        return 0;
    }
    if (!passes(g->r)) {
        g->r = 0;
        moves_each(m, verdict, rename_one, g);
        g->acted = true;
        if (g->r == 0)
            return 0;
    }
    return err_set(e, passes(g->r) ? -g->r : ENOTRECOVERABLE,
                   "cannot end the renaming of tables of '%s' that was interrupted: %s",
                   g->c->database, g->err.text);
}

static int refuse(const struct schemas *c, const struct move *v, struct err *e)
{
    const char *schema, *name;
    char *staged;
    int r;

    move_record_where(c, v, WHERE_STAGE, &schema, &name);
    staged = !v->staged             ? xstrdup("")
             : v->kind == MOVE_VIEW ? xasprintf(" and as '%s'", name)
                                    : xasprintf(" and in '%s'", schema);
    r = err_set(e, ENOTRECOVERABLE,
                "an import was interrupted while it renamed tables, and somebody changed tables "
                "since: '%.64s' lies in '%s'%s and as '%.64s' in '%s', and any may be the "
                "right one; leave the right one in '%s', drop the others, and then "
                "DROP TABLE `%s`.`" RECORD_TABLE "`",
                v->name, c->database, staged, v->place, v->schema, c->database, c->stage);
    free(staged);
    return r;
}

/* 1: settled, 0: look again. */
static int one_round(struct settling *g, enum settled *ret, struct err *e)
{
    struct moves m;
    bool committed = false;
    enum verdict verdict;
    size_t which;
    int r = move_record_read(g->c, g->s, &m, e);

    if (r == 0) { /* one without rows was never begun */
        r = move_record_forget(g->c, g->s, e);
        moves_release(&m);
        return r < 0 ? r : 1;
    }
    if (r == 1)
        r = commit_marker_is_done(g->c->stage, m.token, g->s, e);
    committed = r == 1;
    if (r >= 0)
        r = move_record_look(g->c, &m, g->s, e);
    if (r < 0) {
        moves_release(&m);
        return r;
    }
    verdict = moves_decide(&m, committed, g->stuck, &which);
    switch (verdict) {
    case VERDICT_NOTHING:
        *ret = g->acted ? SETTLED_BACK : SETTLED_NOTHING;
        r = move_record_forget(g->c, g->s, e);
        r = r < 0 ? r : 1;
        break;
    case VERDICT_DONE:
        *ret = g->acted ? SETTLED_ENDED : SETTLED_DONE;
        r = 1;
        break;
    case VERDICT_REFUSE:
        r = refuse(g->c, &m.v[which], e);
        break;
    default:
        r = act(g, &m, verdict, e);
    }
    moves_release(&m);
    return r;
}

int recover_settle(const struct schemas *c, struct server *s, enum settled *ret, char **ret_copied,
                   struct err *e)
{
    struct settling g = {.c = c, .s = s};
    int r = 0;

    *ret = SETTLED_NOTHING;
    for (int i = 0; i < ROUNDS && r == 0; i++)
        r = one_round(&g, ret, e);
    *ret_copied = g.copied;
    if (r == 0)
        r = err_set(e, EAGAIN, "tables of '%s' are renamed by somebody else", c->database);
    return r < 0 ? r : 0;
}

/* --- finish --- */

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

static int drop_aside(const struct schemas *c, const struct move *v, struct server *s,
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

/* Is the name still lent? */
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

int recover_rename_constraint(struct server *s, const char *schema, const struct loan *l,
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

int recover_finish(const struct schemas *c, struct server *s, char **ret_odd, struct err *e)
{
    struct moves m;
    int r = move_record_read(c, s, &m, e);

    if (r == 1)
        r = move_record_look(c, &m, s, e);
    for (size_t i = 0; i < m.n && r == 0; i++)
        if (m.v[i].placed && strcmp(m.v[i].schema, c->database) == 0 &&
            (m.v[i].live || m.v[i].kind == MOVE_DROP))
            r = drop_aside(c, &m.v[i], s, e);
    crash_point("import.finish");
    for (size_t i = 0; i < m.n_loans && r == 0; i++) {
        const struct loan *l = &m.loans[i];
        bool lent = false;
        r = is_lent(c, l, s, &lent, e);
        if (r == 0 && lent)
            r = recover_rename_constraint(s, c->database, l, l->temporary, l->name, e);
        if (r < 0 && r != -EAGAIN && r != -ENOTCONN) {
            if (ret_odd && !*ret_odd)
                *ret_odd = xstrdup(l->name);
            r = 0;
        }
    }
    moves_release(&m);
    return r;
}

/* --- sweep --- */

/* An earlier version set tables aside in the live database under a number, and only its record in
 * the staging schema says whose old ones they are. */
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

/* malloc'd name of the live table, or NULL when it cannot be told; *gone: it is to be gone. */
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
    /* With OR the server would look through all databases. */
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

/* Adds what an earlier version set aside to the moves. */
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

int recover_sweep(const struct schemas *c, struct server *s, size_t *ret_back, char **ret_unknown,
                  struct err *e)
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
