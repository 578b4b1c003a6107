/* SPDX-License-Identifier: MIT */
/*
 * The order of an import:
 *
 *     judge ─> plan ─┬─> commit_rows ──────┬─> counters ─> stored objects ─> import_record ─> sweep
 *               ^    ├─> commit_tables ────┤
 *               │    └─> (nothing changed) ┘
 *               └── live rows are not as the plan took them: plan again, and believe less
 */
#include "sqlimport/importer/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/apply/server_clock.h"
#include "sqlimport/compare/row_cache.h"
#include "sqlimport/importer/commit_rows.h"
#include "sqlimport/importer/commit_tables.h"
#include "sqlimport/importer/import_record.h"
#include "sqlimport/importer/judge.h"
#include "sqlimport/importer/kept_report.h"
#include "sqlimport/importer/leftovers.h"
#include "sqlimport/importer/run.h"
#include "sqlimport/plan/planner.h"
#include "sqlimport/record/report.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/log.h"

/* Before the plan believes marks, and the import takes new ones. */
static int check_clock(struct run *r, struct err *e)
{
    char *notice = NULL;
    int rc = server_clock_check(r->a->history, r->s, r->a->database, &notice, e);

    if (notice)
        log_info("%s", notice);
    free(notice);
    return rc;
}

static int make_plan(struct run *r, enum trust trust, struct err *e)
{
    const struct plan_args pa = {
        .dump = r->dump,
        .fd = r->fd,
        .server = r->s,
        .defaults_file = r->a->defaults_file,
        .history = r->a->history,
        .database = r->a->database,
        .row_cache_dir = r->a->row_cache_dir,
        .keep = r->a->keep,
        .drop_missing = r->a->drop_missing,
        .drop_limit = r->a->drop_limit,
        .trust = trust,
        .stop = r->a->stop,
    };
    int rc = trust == TRUST_HISTORY ? check_clock(r, e) : 0;

    plan_free(r->plan);
    r->plan = NULL;
    if (rc == 0)
        rc = plan_make(&pa, &r->plan, e);
    if (rc == 0)
        kept_report_plan(r);
    if (rc == 0 && r->plan->notes.len > 0)
        kept_report_notes(r, r->plan->notes.data);
    if (rc == 0)
        report_note(r->a->report, "columns", r->plan->notes.len ? r->plan->notes.data : NULL);
    crash_point("import.planned");
    return rc;
}

/* Plans and commits. When live rows are not as the plan took them, plans again and compares
 * them. */
static int change(struct run *r, struct failure *f, struct err *e)
{
    int rc = -EBADMSG;

    for (enum trust t = TRUST_HISTORY; rc == -EBADMSG && t <= TRUST_NONE; t++) {
        rc = make_plan(r, t, e);
        if (rc < 0)
            break;
        if (r->plan->deltas > 0)
            rc = commit_rows(r, e);
        if (rc == -EBADMSG)
            log_info("%s; comparing again", e->text);
        if (rc == -EAGAIN && commit_rows_are_few(r->plan)) {
            log_info("rows of '%s' are in use all the time: replacing whole tables instead",
                     r->a->database);
            t = TRUST_LIVE; /* and then no deltas */
            rc = -EBADMSG;
        }
    }
    if (rc == 0 && r->plan->swaps + r->plan->drops > 0)
        rc = commit_tables(r, f, e);
    return rc;
}

static void note_definers(struct run *r)
{
    char *note = stored_objects_definers(r->dump, r->s);

    if (note && r->n_stored_objects > 0)
        log_warn("%s", note);
    report_note(r->a->report, "definers", note);
    free(note);
}

static int make_stored_objects(struct run *r, struct failure *f, struct err *e)
{
    const struct stored_objects w = run_stored_objects(r);
    struct err e2 = {0};
    int rc;

    lock_retry_init(&r->lock_retry, r->s, RUN_RETRY_MS, r->a->stop);
    rc = stored_objects_make(&w, r->s, &r->n_stored_objects, &f->where, e);
    lock_retry_end(&r->lock_retry);
    /* A server that died may have left a table's name to nobody, while a view came to it. */
    if (rc == -ENOTCONN && r->plan->views > 0 && run_reconnect(r, &e2) == 0)
        (void)leftovers_clear(r, &e2);
    return rc;
}

static bool in_dump(void *arg, const struct hash *hash)
{
    const struct dump *d = arg;

    for (size_t i = 0; i < d->n; i++)
        if (object_is_table(d->objects[i]) && hash_eq(&d->objects[i]->hash, hash))
            return true;
    return false;
}

static bool in_none(void *arg, const struct hash *hash)
{
    (void)arg;
    (void)hash;
    return false;
}

static int carry_out(struct run *r, int64_t begin, struct last_import *last, struct failure *f,
                     struct err *e)
{
    int rc = change(r, f, e);

    if (rc == 0)
        rc = commit_rows_counters(r, e);
    if (rc == 0)
        crash_point("import.stored_objects");
    if (rc == 0)
        rc = make_stored_objects(r, f, e);
    if (rc < 0)
        return rc;
    note_definers(r);
    *last = (struct last_import){
        .wall_ns = clock_wall_ns(),
        .seconds = (double)(clock_mono_ms() - begin) / 1000,
        .tables_changed = (int64_t)r->plan->changed,
        .rows = (int64_t)r->plan->rows,
        .hash = r->dump->hash,
    };
    snprintf(last->dump, sizeof(last->dump), "%s", r->a->file);
    crash_point("import.done");
    rc = import_record_write(r, last, e);
    if (rc == -ENOSPC) { /* the history matters, the row hashes beside it are a cache */
        row_cache_sweep(r->a->row_cache_dir, in_none, NULL);
        rc = import_record_write(r, last, e);
    }
    if (r->plan->swaps + r->plan->drops + r->plan->views > 0)
        (void)leftovers_sweep(r, NULL); /* what stays is dropped by the next import */
    row_cache_sweep(r->a->row_cache_dir, in_dump, r->dump);
    return rc;
}

int import_recover(const struct import_args *a, struct err *e)
{
    struct run r = {.a = a};
    int rc;

    run_init(&r);
    rc = judge_connect(&r, e);
    if (rc == 0)
        rc = kept_report_server(&r, e);
    run_release(&r);
    return rc;
}

int import_run(const struct import_args *a, int fd, struct last_import *last, struct failure *f,
               struct err *e)
{
    struct run r = {.a = a, .fd = fd};
    int64_t begin = clock_mono_ms();
    int rc;

    memset(f, 0, sizeof(*f));
    run_init(&r);
    rc = judge_dump(&r, f, e);
    if (rc == 0 && a->dry_run) {
        rc = make_plan(&r, TRUST_HISTORY, e);
        if (rc == 0)
            plan_print(r.plan);
    } else if (rc == 0) {
        rc = carry_out(&r, begin, last, f, e);
    }
    if (rc < 0 && r.s && !f->code)
        f->code = r.s->code;
    run_release(&r);
    return rc;
}
