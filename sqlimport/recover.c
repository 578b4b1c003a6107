/* SPDX-License-Identifier: MIT */
#include "sqlimport/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/commit.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/opt.h"

#define ROUNDS 6 /* each brings the tables nearer to their end */

/*
 * The name tells which table it is, also without a record. A longer one is cut: the server makes
 * names of keys from it, which have 64 characters at most.
 */
#define ASIDE      "_eefs_was_"
#define ASIDE_KEEP 40 /* bytes of the name */
#define ASIDE_CUT  '~'

char *recover_aside_name(const char *table)
{
    struct hash h;
    char text[HASH_TEXT_CAP];
    size_t keep = ASIDE_KEEP - 9;

    if (strlen(table) <= ASIDE_KEEP)
        return xasprintf(ASIDE "%s", table);
    while (((unsigned char)table[keep] & 0xC0) == 0x80) /* not within a character */
        keep--;
    hash_bytes(table, strlen(table), &h);
    return xasprintf(ASIDE "%.*s%c%.8s", (int)keep, table, ASIDE_CUT,
                     hash_text(&h, text) + HASH_TEXT_LEN - 8);
}

/* --- settle --- */

static int is_committed(const struct schemas *c, const struct moves *m, struct server *s, bool *ret,
                        struct err *e)
{
    struct commit k = {.stage = c->stage};
    int r;

    memcpy(k.token, m->token, sizeof(k.token));
    r = commit_is_done(&k, s, e);
    *ret = r == 1;
    return r < 0 ? r : 0;
}

static int carry_out(const struct schemas *c, const struct moves *m, enum verdict verdict,
                     struct server *s, struct err *e)
{
    struct buf b = BUF_INIT;
    int r = 0;

    record_put_renames(c, m, verdict, &b);
    if (verdict == VERDICT_FORWARD)
        r = commit_put_renames(c, s, &b, e);
    crash_point("recover.rename");
    if (r == 0)
        r = server_run(s, b.data, b.len, e);
    crash_point("recover.renamed");
    buf_release(&b);
    return r;
}

static int refuse(const struct schemas *c, const struct move *v, struct err *e)
{
    return err_set(e, ENOTRECOVERABLE,
                   "an import was interrupted while it renamed tables, and somebody changed tables "
                   "since: '%.64s' lies in '%s'%s%s%s and as '%.64s' in '%s', and any may be the "
                   "right one; leave the right one in '%s', drop the others, and then "
                   "DROP TABLE `%s`.`" RECORD_TABLE "`",
                   v->name, c->database, v->staged ? " and in '" : "", v->staged ? c->stage : "",
                   v->staged ? "'" : "", v->place, v->schema, c->database, c->stage);
}

struct settling {
    const struct schemas *c;
    struct server *s;
    enum verdict done; /* the last verdict that was carried out */
    bool acted;
    bool stuck;
    struct err why; /* it is stuck */
};

static int act(struct settling *g, const struct moves *m, enum verdict verdict, struct err *e)
{
    int r = carry_out(g->c, m, verdict, g->s, e);

    if (r == 0) {
        g->acted = true;
        g->done = verdict;
        return 0;
    }
    if (verdict == VERDICT_FORWARD && r != -EAGAIN && r != -ENOTCONN && r != -EACCES) {
        g->stuck = true;
        return 0;
    }
    return err_prefix(e, "cannot end the renaming of tables of '%s' that was interrupted",
                      g->c->database);
}

/* 1: settled, 0: look again. */
static int one_round(struct settling *g, enum settled *ret, struct err *e)
{
    struct moves m;
    bool committed = false;
    enum verdict verdict;
    size_t which;
    int r = record_read(g->c, g->s, &m, e);

    if (r == 1)
        r = is_committed(g->c, &m, g->s, &committed, e);
    else if (r == 0 && (r = record_forget(g->c, g->s, e)) == 0)
        r = 1; /* one without rows was never begun */
    else
        r = r < 0 ? r : 1;
    if (r == 0)
        r = record_look(g->c, &m, g->s, e);
    if (r != 0) {
        moves_release(&m);
        return r;
    }
    verdict = moves_decide(&m, committed, g->stuck, &which);
    switch (verdict) {
    case VERDICT_NOTHING:
        *ret = g->acted ? SETTLED_BACK : SETTLED_NOTHING;
        r = record_forget(g->c, g->s, e);
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

int recover_settle(const struct schemas *c, struct server *s, enum settled *ret, struct err *e)
{
    struct settling g = {.c = c, .s = s};
    int r = 0;

    *ret = SETTLED_NOTHING;
    for (int i = 0; i < ROUNDS && r == 0; i++)
        r = one_round(&g, ret, e);
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
    int r = server_runf(s, e, "ALTER TABLE %s.%s DROP %s %s, ADD CONSTRAINT %s %s", q, table,
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
    int r = record_read(c, s, &m, e);

    if (r == 1)
        r = record_look(c, &m, s, e);
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

struct sweeping {
    const struct schemas *c;
    struct server *s;
    struct moves m;
    struct strlist live;
    size_t back;
};

/* malloc'd name of the live table, or NULL when it cannot be told; *gone: it is to be gone. */
static char *original(const struct sweeping *g, const char *schema, const char *table, bool *gone)
{
    bool aside = strcmp(schema, g->c->old) != 0;

    *gone = false;
    for (size_t i = 0; i < g->m.n; i++) {
        const struct move *v = &g->m.v[i];
        if (!v->place || strcmp(v->schema, schema) != 0 || strcmp(v->place, table) != 0)
            continue;
        *gone = v->kind == MOVE_DROP;
        return xstrdup(v->name);
    }
    if (!aside)
        return xstrdup(table);
    return strchr(table, ASIDE_CUT) ? NULL : xstrdup(table + strlen(ASIDE));
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

    if (strcmp(schema, g->c->old) == 0 && strncmp(table, "_eefs_", 6) == 0) {
        r = drop(g->s, schema, table, type, e); /* the last commit's row */
    } else if (name && (gone || is_live(g, name))) {
        r = drop(g->s, schema, table, type, e);
    } else if (name) {
        record_put_rename(&b, schema, table, g->c->database, name);
        r = server_run(g->s, b.data, b.len, e);
        g->back += r == 0;
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
    int r = server_query(g->s, &res, e,
                         "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM "
                         "information_schema.TABLES WHERE TABLE_SCHEMA=%s OR (TABLE_SCHEMA=%s AND "
                         "TABLE_NAME LIKE '\\_eefs\\_was\\_%%')",
                         old, database);

    while (r == 0 && (row = mysql_fetch_row(res)))
        r = sweep_one(g, row[0], row[1], row[2], e);
    if (res)
        mysql_free_result(res);
    free(database);
    free(old);
    return r;
}

int recover_sweep(const struct schemas *c, struct server *s, size_t *ret_back, struct err *e)
{
    struct sweeping g = {.c = c, .s = s};
    int r = record_read(c, s, &g.m, e);

    if (r >= 0)
        r = read_live(&g, e);
    if (r == 0)
        r = sweep_all(&g, e);
    crash_point("import.swept");
    if (r == 0)
        r = record_forget(c, s, e);
    *ret_back = g.back;
    moves_release(&g.m);
    strlist_release(&g.live);
    return r;
}
