/* SPDX-License-Identifier: MIT */
/*
 * In order, each step by the connection that commits unless said otherwise:
 *
 *     empty schemas ─> fill (stage.h, several connections) ─> kept columns ─> probes and marks of the
 *     staged tables ─> record of the RENAME, its marker ─> RENAME, tried again while tables are in use
 *        (each try copies the kept columns once more)
 *     ─> triggers ─> names of constraints, tables set aside ─> marks of the live tables
 *
 * A RENAME that is refused, given up, or whose answer is lost is settled at once (leftovers.h):
 * either all of it happened or nothing.
 */
#include "sqlimport/importer/commit_tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/apply/stage.h"
#include "sqlimport/apply/swap.h"
#include "sqlimport/compare/probe.h"
#include "sqlimport/importer/import_record.h"
#include "sqlimport/importer/kept_report.h"
#include "sqlimport/importer/leftovers.h"
#include "sqlimport/record/report.h"
#include "sqlimport/plan/kept_columns.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"

#define TRIGGERS_MS 1000

/* Makes both schemas, and empties the staging schema. */
static int clear_schemas(struct run *r, struct err *e)
{
    int rc = stage_make(r->s, r->stage, e);

    if (rc == 0)
        rc = stage_make(r->s, r->old, e);
    if (rc == 0)
        rc = stage_empty(r->s, r->stage, e);
    return rc;
}

static int fill_stage(struct run *r, struct failure *f, struct err *e)
{
    const struct stage_args sa = {
        .plan = r->plan,
        .defaults_file = r->a->defaults_file,
        .schema = r->stage,
        .row_cache_dir = r->a->row_cache_dir,
        .fd = r->fd,
        .connections = r->a->connections,
        .disk_space = &r->disk_space,
        .report = r->a->report,
        .stop = r->a->stop,
    };
    int rc;

    report_progress_begin(r->a->report, r->plan->bytes);
    rc = stage_run(&sa, &f->where, &f->code, e);
    report_progress_end(r->a->report);
    return rc;
}

static int try_columns(struct run *r, struct err *e)
{
    struct buf notes = BUF_INIT;
    int rc = kept_columns_copy(r->plan, r->a->database, r->stage, r->s, &notes, e);

    if (rc == 0 && notes.len > 0) {
        kept_report_notes(r, notes.data);
        report_note(r->a->report, "columns", notes.data);
    }
    buf_release(&notes);
    return rc;
}

/* Nobody else uses the tables in the staging schema, so the probes hold. */
static int probe_staged(struct run *r, const struct live *staged, struct err *e)
{
    struct probe *v = xcalloc(r->plan->n + 1, sizeof(*v));
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < r->plan->n; i++) {
        struct step *st = &r->plan->steps[i];
        const struct live_table *t = live_find(staged, st->name);
        if (step_is_swap(st) && t && !t->sequence)
            v[n++] = (struct probe){.table = t, .key = &st->def.key, .ret = &st->probe};
        else if (step_is_swap(st) && t)
            memset(&st->probe, 1, sizeof(st->probe));
    }
    rc = probe_tables(r->s, r->stage, v, n, e);
    free(v);
    return rc;
}

static int try_swap(struct run *r, struct err *e)
{
    const struct swap w = {.plan = r->plan, .schemas = &r->schemas, .commit = &r->commit};
    int rc = try_columns(r, e);

    return rc < 0 ? rc : swap_try(&w, &r->moves, r->s, e);
}

/* 0: the tables are renamed. *ret_none: none is, as proved. */
static int rename_tables(struct run *r, bool *ret_none, struct err *e)
{
    const struct swap w = {.plan = r->plan, .schemas = &r->schemas, .commit = &r->commit};
    struct err e2 = {0};
    int rc, rc2;

    commit_marker_init(&r->commit, r->stage, &r->dump->hash);
    rc = swap_prepare(&w, r->s, &r->moves, e);
    if (rc == 0)
        rc = import_record_untold(r, e);
    if (rc == 0)
        rc = run_retry(r, try_swap, e);
    if (rc == 0)
        return 0;
    rc2 = rc == -ENOTCONN ? run_reconnect(r, &e2) : 0;
    if (rc2 == 0)
        rc2 = leftovers_settle(r, &e2);
    *ret_none = rc2 == 0 && r->settled < SETTLED_DONE;
    if (rc2 == 0 && !*ret_none)
        return 0;
    if (rc2 == -ENOTRECOVERABLE) {
        rc = rc2;
        if (e)
            *e = e2;
    }
    return rc;
}

/*
 * Nobody else changed a staged table, so its update time holds after the RENAME if the server still
 * shows the same: otherwise a visitor has written already, and the mark is void. The creation time
 * differs.
 */
static int take_marks(struct run *r, const struct live *staged, struct err *e)
{
    struct live now;
    int rc = live_read(r->s, r->a->database, &now, e);

    for (size_t i = 0; i < r->plan->n && rc == 0; i++) {
        struct step *st = &r->plan->steps[i];
        const struct live_table *a = live_find(staged, st->name), *b = live_find(&now, st->name);
        struct table_def def;
        if (!step_is_swap(st))
            continue;
        st->mark[0] = '\0';
        if (a && b && *a->mark && *b->mark &&
            strcmp(strchr(a->mark, '|'), strchr(b->mark, '|')) == 0)
            memcpy(st->mark, b->mark, sizeof(st->mark));
        if (st->o->kind != OBJECT_TABLE)
            continue;
        rc = live_table_def(r->s, r->a->database, st->name, &def, e);
        if (rc == 0) {
            st->live_def = def.hash;
            table_def_release(&def);
        }
    }
    live_release(&now);
    return rc;
}

static int try_triggers(struct run *r, struct err *e)
{
    const struct stored_objects w = run_stored_objects(r);

    return stored_objects_make_triggers(&w, r->s, e);
}

/* Triggers of a table in use are made later, with the other stored objects. */
static int make_triggers(struct run *r, struct err *e)
{
    struct err e2 = {0};
    int rc = run_retry_for(r, TRIGGERS_MS, try_triggers, &e2);

    if (rc == -EAGAIN)
        return 0;
    if (rc < 0 && e)
        *e = e2;
    return rc;
}

int commit_tables(struct run *r, struct failure *f, struct err *e)
{
    struct live staged = {0};
    bool none = true;
    int rc = clear_schemas(r, e);

    if (rc == 0)
        rc = disk_space_check(&r->disk_space, r->plan->bytes, e);
    if (rc == 0 && r->plan->swaps > 0)
        rc = fill_stage(r, f, e);
    crash_point("import.staged");
    if (rc == 0)
        rc = run_retry(r, try_columns, e);
    if (rc == 0)
        rc = live_read(r->s, r->stage, &staged, e);
    if (rc == 0)
        rc = probe_staged(r, &staged, e);
    if (rc == 0)
        rc = rename_tables(r, &none, e);
    if (rc < 0 && none) /* give the space back */
        (void)stage_empty(r->s, r->stage, NULL);
    if (rc == 0)
        rc = make_triggers(r, e);
    crash_point("import.triggers");
    if (rc == 0)
        rc = run_retry(r, leftovers_finish, e);
    if (rc == 0)
        rc = take_marks(r, &staged, e);
    live_release(&staged);
    return rc;
}
