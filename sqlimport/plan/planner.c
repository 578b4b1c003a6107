/* SPDX-License-Identifier: MIT */
/*
 * How plan_make() finds what to do. Each step starts as SWAP, the one way that is always right, and
 * becomes less where that can be shown:
 *
 *   see tables ─> own columns ─> probes ─> first look: mark and probe as after the last import?
 *       │                                    yes: UNCHANGED      kept: KEEP      not live: NEW
 *       │                                  second look: the same structure, and fit for a delta?
 *       │                                  compare rows, as long as a delta may come of it
 *       │                                    none differ: UNCHANGED      few: DELTA
 *       └─> gone from the dump: DROP ─> one way for all (one SWAP makes every DELTA a SWAP)
 *                                     ─> foreign keys pull tables along
 */
#include "sqlimport/plan/planner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/compare/probe.h"
#include "sqlimport/compare/table_rows.h"
#include "sqlimport/plan/foreign_keys.h"
#include "sqlimport/plan/kept_columns.h"
#include "sync/common/buf.h"

/* A delta is worth it up to a part of the table's rows; beyond these numbers its transaction would
 * hold locks and undo space for too long. */
#define DELTA_PART     8
#define DELTA_ROWS_MIN 1000
#define DELTA_ROWS_MAX 50000

struct planning {
    const struct plan_args *a;
    struct plan *p;
    struct live live;
    struct server *scan; /* second connection, opened when needed */
    bool must_swap;      /* something can only be swapped: no deltas */
};

static void set(struct step *st, enum action action, const char *why)
{
    st->action = action;
    st->why = why;
}

/* --- one table --- */

static bool same_in_dump(const struct step *st)
{
    return st->known && hash_eq(&st->past.hash, &st->o->hash);
}

/* Nobody changed the live table since the last import. */
static bool untouched(const struct planning *g, const struct step *st)
{
    return g->a->trust == TRUST_HISTORY && st->known && *st->past.mark &&
           strcmp(st->past.mark, st->mark) == 0 && !hash_is_none(&st->probe) &&
           hash_eq(&st->past.probe, &st->probe);
}

static void first_look(struct planning *g, struct step *st)
{
    const struct live_table *t = live_find(&g->live, st->name);

    st->known = history_object(g->a->history, object_kind_name(st->o->kind), st->name, &st->past);
    if (t) {
        st->live = true;
        st->aside = t->triggers || t->view;
        st->view = t->view;
        memcpy(st->mark, t->mark, sizeof(st->mark));
    }
    if (!t || t->view)
        set(st, t ? ACTION_SWAP : ACTION_NEW, t ? "a view so far" : "missing");
    else if (keep_rules_table(g->a->keep, st->name))
        set(st, ACTION_KEEP, "keep-list");
    else if (same_in_dump(st) && untouched(g, st))
        set(st, ACTION_UNCHANGED, "as imported");
    else
        set(st, ACTION_SWAP, same_in_dump(st) ? "changed here" : "changed");
    st->same_structure = st->action == ACTION_UNCHANGED;
}

/*
 * The structure is the same when the server shows the dump's own words, or, where it has other
 * words for them, when neither changed since the import.
 */
static bool same_structure(const struct step *st)
{
    return hash_eq(&st->live_def, &st->def.hash) ||
           (st->known && hash_eq(&st->past.def, &st->def.hash) &&
            hash_eq(&st->past.live_def, &st->live_def));
}

/* Without its own columns, a table may have the same rows though its hash in the dump is another
 * one. */
static bool may_be_same(const struct step *st)
{
    return same_in_dump(st) || st->o->own.n > 0;
}

/* Can rows of the live table be compared with those of the dump? */
static bool comparable(const struct step *st)
{
    return st->o->kind == OBJECT_TABLE && st->has_live_def && same_structure(st);
}

/* Literal reason why the table cannot get a delta, or NULL. */
static const char *no_delta(const struct step *st)
{
    if (st->o->kind == OBJECT_SEQUENCE)
        return "a sequence";
    if (!comparable(st))
        return "other structure";
    if (st->aside)
        return "triggers";
    if (!st->innodb)
        return "not InnoDB";
    if (st->def.key.n == 0 || st->def.key.n > ROW_KEY_MAX)
        return "no primary key";
    return NULL;
}

static int second_look(struct planning *g, struct step *st, struct err *e)
{
    struct table_def live;
    const char *reason;
    int r;

    if (st->o->kind == OBJECT_TABLE && !live_find(&g->live, st->name)->view) {
        r = live_table_def(g->a->server, g->a->database, st->name, &live, e);
        if (r == -ENOTCONN)
            return r;
        if (r == 0) {
            st->has_live_def = true;
            st->live_def = live.hash;
            st->live_auto = live.auto_increment;
            st->innodb = strcasecmp(live.engine, "InnoDB") == 0;
            table_def_release(&live);
        }
    }
    st->same_structure = comparable(st);
    reason = no_delta(st);
    /* Rows that are the same in the dump may turn out to be unchanged; others make a swap. */
    if (reason && !(may_be_same(st) && comparable(st))) {
        st->why = reason;
        g->must_swap = true;
    }
    return 0;
}

static size_t delta_limit(const struct planning *g, const struct step *st)
{
    size_t n = (size_t)st->o->rows / DELTA_PART;

    if (g->must_swap || g->a->trust == TRUST_NONE || no_delta(st))
        return 0;
    if (st->o->own.n > 0) /* a statement for each of them */
        return DELTA_ROWS_MIN;
    return n < DELTA_ROWS_MIN ? DELTA_ROWS_MIN : n > DELTA_ROWS_MAX ? DELTA_ROWS_MAX : n;
}

static int open_scan(struct planning *g, const struct step *st, struct err *e)
{
    int vars_id = st->o->n_ranges ? st->o->ranges[0].vars_id : st->o->vars_id;
    int r = 0;

    if (g->scan && g->scan->cut) {
        server_close(g->scan);
        g->scan = NULL;
    }
    if (!g->scan)
        r = server_open(g->a->defaults_file, &g->scan, e);
    return r < 0 ? r : server_set_vars(g->scan, g->a->dump->vars, vars_id, e);
}

static bool strlist_same(const struct strlist *a, const struct strlist *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (strcasecmp(a->v[i], b->v[i]) != 0)
            return false;
    return a->n == b->n;
}

/* The old rows are those of the last dump when nobody touched them since, else the live ones. */
static int diff_rows(struct planning *g, struct step *st, struct table_rows *dump_rows, size_t max,
                     struct err *e)
{
    const struct strlist *columns;
    struct row_cache_reader *old = NULL;
    struct live_rows *rows = NULL;
    int r = 0;

    if (!table_rows_columns(dump_rows, &columns, e))
        return -EPROTO;
    if (untouched(g, st))
        old = row_cache_open(g->a->row_cache_dir, &st->past.hash);
    if (old && !(strlist_same(row_cache_columns(old), columns) &&
                 strlist_same(row_cache_left_out(old), &st->o->own))) {
        row_cache_close(old);
        old = NULL;
    }
    st->rows_read = !old;
    if (!old) {
        r = open_scan(g, st, e);
        if (r == 0)
            r = live_rows_open(g->scan, g->a->database, st->name, columns, &st->o->own,
                               &st->def.key, NULL, &rows, e);
    }
    if (r == 0)
        r = old ? row_diff_make(&st->diff, row_cache_next, old, table_rows_next, dump_rows, max, e)
                : row_diff_make(&st->diff, live_rows_next, rows, table_rows_next, dump_rows, max,
                                e);
    row_cache_close(old);
    live_rows_close(rows);
    return r;
}

/* A fault of the dump or the connection; any other only means that the table is swapped. */
static bool fatal(int r)
{
    return r == -ENOTCONN || r == -ESTALE || r == -EIO || r == -EINTR;
}

static int compare(struct planning *g, struct step *st, struct err *e)
{
    bool writes = !no_delta(st);
    struct table_rows *dump_rows =
        table_rows_open(g->a->fd, g->a->dump, st->o, &st->def, writes ? g->a->row_cache_dir : NULL);
    struct err e2 = {0};
    int r = diff_rows(g, st, dump_rows, delta_limit(g, st), &e2);

    table_rows_close(dump_rows);
    if (r == 0 && st->diff.n_old + st->diff.n_new == 0)
        set(st, ACTION_UNCHANGED, "same rows");
    else if (r == 0)
        set(st, ACTION_DELTA, same_in_dump(st) ? "changed here" : "few rows");
    if (r == 0)
        return 0;
    row_diff_release(&st->diff);
    if (fatal(r)) {
        if (e)
            *e = e2;
        return r;
    }
    if (r == -E2BIG && !same_in_dump(st) && !g->must_swap)
        st->why = "many rows";
    g->must_swap = true;
    return 0;
}

/* --- tables that are gone: dropped when configured, or replaced by a view --- */

static void add_gone(struct plan *p, const struct live_table *t, enum action action,
                     const char *why)
{
    struct step *st;

    p->steps = xrealloc(p->steps, (p->n + 1) * sizeof(*p->steps));
    st = &p->steps[p->n++];
    memset(st, 0, sizeof(*st));
    st->name = xstrdup(t->name);
    st->live = true;
    st->aside = t->triggers;
    set(st, action, why);
}

/* A table of the dump has a foreign key to that name. */
static bool is_parent(const struct dump *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++)
        for (size_t k = 0; k < d->objects[i]->parents.n; k++)
            if (strcmp(d->objects[i]->parents.v[k], name) == 0)
                return true;
    return false;
}

/* A key that leads to a view's name, which a server lets be without foreign_key_checks, would
 * follow the table that is exchanged for it, so that one is dropped before. */
static void find_views(struct planning *g)
{
    for (size_t i = 0; i < g->live.n; i++) {
        const struct live_table *t = &g->live.v[i];
        if (t->view || !dump_find(g->a->dump, OBJECT_VIEW, t->name) || plan_find(g->p, t->name) ||
            keep_rules_table(g->a->keep, t->name))
            continue;
        add_gone(g->p, t, is_parent(g->a->dump, t->name) ? ACTION_DROP : ACTION_VIEW,
                 "a view in the dump");
    }
}

static int note_gone(void *arg, const char *name, const struct past *past)
{
    struct planning *g = arg;
    const struct live_table *t = live_find(&g->live, name);

    (void)past;
    if (g->a->drop_missing && t && !t->view && !plan_find(g->p, name) &&
        !keep_rules_table(g->a->keep, name))
        add_gone(g->p, t, ACTION_DROP, "gone from the dump");
    return 0;
}

static int find_gone(struct planning *g, struct err *e)
{
    size_t tables, lost = 0;
    const char *one = NULL;
    int r;

    find_views(g);
    tables = g->p->n;
    r = history_each(g->a->history, "TABLE", note_gone, g, e);

    if (r == 0)
        r = history_each(g->a->history, "SEQUENCE", note_gone, g, e);
    for (size_t i = tables; i < g->p->n; i++, lost++)
        one = g->p->steps[i].name;
    if (r == 0 && lost * 100 > (size_t)g->a->drop_limit * g->p->n)
        r = err_set(e, EPERM,
                    "%zu of %zu tables, '%.64s' among them, are gone from the dump, and an import "
                    "drops at most %lld %% at once: make a complete dump, drop the tables by hand, "
                    "or raise --drop-limit",
                    lost, g->p->n, one, (long long)g->a->drop_limit);
    return r;
}

/* --- all of it --- */

static void see_tables(struct planning *g)
{
    keep_rules_begin(g->a->keep);
    for (size_t i = 0; i < g->p->n; i++)
        keep_rules_see(g->a->keep, g->p->steps[i].name);
    for (size_t i = 0; i < g->live.n; i++)
        keep_rules_see(g->a->keep, g->live.v[i].name);
    keep_rules_end(g->a->keep);
}

/* A plan that is made again finds them done. */
static int find_own(struct planning *g, struct err *e)
{
    const char *lost = keep_rules_lost(g->a->keep);
    int r = 0;

    if (lost)
        buf_printf(&g->p->notes, "there is no table for --keep-column %.200s", lost);
    for (size_t i = 0; i < g->p->n && r == 0; i++) {
        struct object *o = dump_find(g->a->dump, g->p->steps[i].o->kind, g->p->steps[i].name);
        struct strlist own = {NULL, 0};
        r = kept_columns_find(o, &g->p->steps[i].def, g->a->keep, &own, &g->p->notes, e);
        if (r == 0 && own.n > 0 && o->own.n == 0)
            object_set_own(o, &own);
        strlist_release(&own);
    }
    return r;
}

/* Before any row is read: what happens to a table later will give another mark or probe. */
static int probe_all(struct planning *g, struct err *e)
{
    struct probe *v = xcalloc(g->p->n + 1, sizeof(*v));
    size_t n = 0;
    int r;

    for (size_t i = 0; i < g->p->n; i++) {
        struct step *st = &g->p->steps[i];
        const struct live_table *t = live_find(&g->live, st->name);
        if (t && !t->view && !t->sequence && !keep_rules_table(g->a->keep, st->name))
            v[n++] = (struct probe){.table = t, .key = &st->def.key, .ret = &st->probe};
        else if (t && t->sequence) /* its mark is all of it */
            memset(&st->probe, 1, sizeof(st->probe));
    }
    r = probe_tables(g->a->server, g->a->database, v, n, e);
    free(v);
    return r;
}

static int look_at_all(struct planning *g, struct err *e)
{
    struct plan *p = g->p;
    int r = probe_all(g, e);

    for (size_t i = 0; i < p->n; i++) {
        first_look(g, &p->steps[i]);
        g->must_swap = g->must_swap || p->steps[i].action == ACTION_NEW;
    }
    for (size_t i = 0; i < p->n && r == 0; i++)
        if (p->steps[i].action == ACTION_SWAP)
            r = second_look(g, &p->steps[i], e);
    for (size_t i = 0; i < p->n && r == 0; i++) {
        struct step *st = &p->steps[i];
        if (*g->a->stop)
            r = err_set(e, EINTR, "stopped");
        /* Rows that changed in the dump and will be swapped anyway need no comparison. */
        else if (st->action == ACTION_SWAP && comparable(st) &&
                 (delta_limit(g, st) > 0 || may_be_same(st) || !st->known))
            r = compare(g, st, e);
        else if (st->action == ACTION_SWAP)
            g->must_swap = true;
    }
    return r;
}

/* One commit: either deltas or swaps. */
static void choose_way(struct planning *g)
{
    size_t rows = 0;

    for (size_t i = 0; i < g->p->n; i++)
        rows += g->p->steps[i].diff.n_old + g->p->steps[i].diff.n_new;
    if (!g->must_swap && rows <= (size_t)2 * DELTA_ROWS_MAX)
        return;
    for (size_t i = 0; i < g->p->n; i++) {
        struct step *st = &g->p->steps[i];
        if (st->action == ACTION_DELTA)
            st->action = ACTION_SWAP;
        row_diff_release(&st->diff);
    }
}

static void sum_up(struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct step *st = &p->steps[i];
        if (step_is_swap(st)) {
            p->swaps++;
            p->rows += st->o->rows;
            p->bytes += st->o->bytes;
        } else if (st->action == ACTION_DELTA) {
            p->deltas++;
            p->rows += st->diff.inserted + st->diff.updated + st->diff.deleted;
            p->bytes += st->diff.bytes;
        } else if (st->action == ACTION_DROP) {
            p->drops++;
        } else if (st->action == ACTION_VIEW) {
            p->views++;
        }
    }
    p->changed = p->swaps + p->deltas + p->drops + p->views;
}

int plan_make(const struct plan_args *a, struct plan **ret, struct err *e)
{
    struct plan *p = xcalloc(1, sizeof(*p));
    struct planning g = {.a = a, .p = p};
    int r;

    p->dump = a->dump;
    p->steps = xcalloc(a->dump->n + 1, sizeof(*p->steps));
    for (size_t i = 0; i < a->dump->n; i++) {
        const struct object *o = a->dump->objects[i];
        struct step *st = &p->steps[p->n];
        if (!object_is_table(o))
            continue;
        st->o = o;
        st->name = o->name;
        table_def_read(&st->def, o->ddl, o->ddl_len,
                       session_vars_mode_of(a->dump->vars, o->vars_id));
        p->n++;
    }
    r = live_read(a->server, a->database, &g.live, e);
    if (r == 0) {
        see_tables(&g);
        r = find_own(&g, e);
    }
    if (r == 0)
        r = look_at_all(&g, e);
    if (r == 0)
        r = find_gone(&g, e);
    if (r == 0) {
        choose_way(&g);
        r = foreign_keys_pull(p, a->server, a->database, e);
        sum_up(p);
    }
    server_close(g.scan);
    live_release(&g.live);
    if (r < 0)
        plan_free(p);
    else
        *ret = p;
    return r;
}
