/* SPDX-License-Identifier: MIT */
/*
 * One round of settling looks where the tables lie, decides (moves_decide()), and renames; rounds
 * follow until the decision is NOTHING or DONE, for a rename may stop half way, too:
 *
 *     read the record ─> look ─> decide ─┬─> NOTHING: forget the record       ─> SETTLED_NOTHING, _BACK
 *           ^                            ├─> DONE                             ─> SETTLED_DONE, _ENDED
 *           │                            ├─> REFUSE: a person must decide     ─> -ENOTRECOVERABLE
 *           └── one RENAME, or, when <───┴─> FORWARD, BACK, FILL
 *               refused, one for each table
 *
 * A server without atomic RENAME that died may have torn a table: its name is listed, and nothing
 * can be read there. Such a name is dropped before a table comes to it; where even that fails,
 * visitors get a copy of the old table in another engine (copy_back()).
 */
#include "sqlimport/apply/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/apply/commit_marker.h"
#include "sqlimport/apply/loans.h"
#include "sqlimport/apply/old_tables.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"

#define ROUNDS 6 /* each brings the tables nearer to their end */

/* --- is anything left --- */

/* With OR instead of UNION the server would read through all databases. */
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
 * Where a table tore on its way into the live database, InnoDB's own dictionary still holds its
 * name, though the server does not show it, and no other InnoDB table can have that name. Visitors
 * get a copy of the old table, which was set aside, in an engine without such a dictionary.
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

/* Some servers (MariaDB 10.5) drop what only the dictionary holds. */
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

/* One statement for each table, so that one that fails does not hold back the others. */
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

/* The cause passes: it may work another time. */
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
                   "cannot complete the interrupted RENAME of tables of '%s': %s", g->c->database,
                   g->err.text);
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
    r = err_set(
        e, ENOTRECOVERABLE,
        "cannot complete an interrupted RENAME, for somebody changed tables since: '%.64s' lies in "
        "'%s'%s and as '%.64s' in '%s', and any of them may be the right one; leave the right one "
        "in '%s', drop the others, and then DROP TABLE `%s`.`" RECORD_TABLE "`",
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

    if (r == 0) { /* a record without rows: its RENAME never began */
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
        r = err_set(e, EAGAIN,
                    "cannot complete an interrupted RENAME: somebody else renames tables of '%s'",
                    c->database);
    return r < 0 ? r : 0;
}

/* --- finish --- */

int recover_finish(const struct schemas *c, struct server *s, char **ret_odd, struct err *e)
{
    struct moves m;
    int r = move_record_read(c, s, &m, e);

    if (r == 1)
        r = move_record_look(c, &m, s, e);
    for (size_t i = 0; i < m.n && r == 0; i++)
        if (m.v[i].placed && strcmp(m.v[i].schema, c->database) == 0 &&
            (m.v[i].live || m.v[i].kind == MOVE_DROP))
            r = old_tables_drop_aside(c, &m.v[i], s, e);
    crash_point("import.finish");
    if (r == 0)
        r = loans_return(c, &m, s, ret_odd, e);
    moves_release(&m);
    return r;
}
