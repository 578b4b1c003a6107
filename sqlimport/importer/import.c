/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/import.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/server/collation.h"
#include "sqlimport/apply/delta.h"
#include "sqlimport/apply/stored_objects.h"
#include "sqlimport/plan/kept_columns.h"
#include "sqlimport/server/lock_retry.h"
#include "sqlimport/dump/dump_read.h"
#include "sqlimport/plan/planner.h"
#include "sqlimport/server/privileges.h"
#include "sqlimport/apply/recover.h"
#include "sqlimport/apply/server_clock.h"
#include "sqlimport/server/disk_space.h"
#include "sqlimport/compare/probe.h"
#include "sqlimport/compare/row_cache.h"
#include "sqlimport/apply/stage.h"
#include "sqlimport/apply/swap.h"
#include "sqlimport/server/import_lock.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/log.h"

#define PATIENCE_MS  120000
#define ROWS_MS      3000 /* of which for rows, where a swap costs little */
#define SWAP_LITTLE  ((uint64_t)32 << 20)
#define TRIGGERS_MS  1000
#define COUNTER_MS   2000
#define RECONNECT_MS 10000

struct run {
    const struct import_args *a;
    int fd;
    struct dump *dump;
    struct server *s;
    struct plan *plan;
    char *stage, *old;
    struct schemas schemas; /* made of them */
    struct commit_marker commit;
    struct moves moves;
    enum settled settled;
    struct disk_space disk_space;
    struct lock_retry lock_retry;
    bool *made; /* see stored_objects_of() */
    int64_t others;
};

/* --- the connection that commits --- */

static int lock_out_others(struct run *r, struct err *e)
{
    char *dead = NULL;
    int rc = import_lock_take(r->s, r->a->database, &dead, e);

    if (dead)
        log_warn("%s", dead);
    free(dead);
    return rc;
}

static int connect_server(struct run *r, struct err *e)
{
    int rc;

    server_close(r->s);
    r->s = NULL;
    rc = server_open(r->a->defaults_file, &r->s, e);
    /* Whoever comes behind a waiting commit waits with it. */
    if (rc == 0)
        rc = server_lock_wait(r->s, 1, e);
    if (rc == 0)
        rc = lock_out_others(r, e);
    return rc;
}

#define BUSY_SHOWN 3

/* malloc'd: "tables 'a', 'b' of 'live'", as far as it can be found out. */
static char *busy_tables(struct run *r)
{
    struct buf b = BUF_INIT;
    int n = 0;

    buf_puts(&b, "tables");
    for (size_t i = 0; r->plan && i < r->plan->n && n < BUSY_SHOWN; i++) {
        const struct step *st = &r->plan->steps[i];
        if ((step_is_swap(st) || !st->o) && st->live &&
            lock_retry_holds(r->s, r->a->database, st->name))
            buf_printf(&b, "%s '%.64s'", n++ ? "," : "", st->name);
    }
    buf_printf(&b, " of '%s'", r->a->database);
    return buf_detach(&b);
}

static void tell_blockers(struct run *r, const struct err *e)
{
    char *who, *what;

    if (!lock_retry_reports(&r->lock_retry))
        return;
    what = busy_tables(r);
    who = lock_retry_blockers(r->s, r->a->database);
    log_warn("%s are in use, the import waits for %d s now%s (%.200s); in the way may be: %s", what,
             lock_retry_age(&r->lock_retry),
             r->lock_retry.waits ? " and has begun to make others wait, 1 s at a time" : "",
             e ? e->text : "", who);
    free(what);
    free(who);
}

/* When patience is over: who was in the way, for the state and the log. */
static int over(struct run *r, struct err *e)
{
    char *who, *what;

    if (*r->a->stop)
        return err_set(e, EINTR, "stopped");
    what = busy_tables(r);
    who = lock_retry_blockers(r->s, r->a->database);
    err_prefix(e, "%s were in use for %d s, by: %.400s", what, lock_retry_age(&r->lock_retry), who);
    free(what);
    free(who);
    return -EAGAIN;
}

/* Tries until it works, patience ends, or it cannot work. */
typedef int try_fn(struct run *r, struct err *e);

static int patiently_for(struct run *r, int64_t patience_ms, try_fn *try, struct err *e)
{
    int rc;

    lock_retry_init(&r->lock_retry, r->s, patience_ms, r->a->stop);
    while ((rc = try(r, e)) == -EAGAIN) {
        tell_blockers(r, e);
        if (!lock_retry_again(&r->lock_retry)) {
            rc = over(r, e);
            break;
        }
    }
    lock_retry_end(&r->lock_retry);
    return rc;
}

static int patiently(struct run *r, try_fn *try, struct err *e)
{
    return patiently_for(r, PATIENCE_MS, try, e);
}

/* --- what an earlier import, or this one, left undone --- */

static int try_settle(struct run *r, struct err *e)
{
    char *copied = NULL;
    int rc = recover_settle(&r->schemas, r->s, &r->settled, &copied, e);

    if (copied)
        log_warn(
            "the server died while it renamed table '%s' of '%s', and cannot use that name: a "
            "copy of the old table is there, in the engine MyISAM; look into the server's log, "
            "for what it left of the new table ('%s.ibd', '%s.frm') must be removed by hand",
            copied, r->a->database, copied, copied);
    free(copied);
    return rc;
}

static int try_finish(struct run *r, struct err *e)
{
    char *odd = NULL;
    int rc = recover_finish(&r->schemas, r->s, &odd, e);

    if (rc == 0 && odd)
        log_warn("a constraint of '%s' could not be given its name '%s', and keeps a temporary one "
                 "until its table changes",
                 r->a->database, odd);
    free(odd);
    return rc;
}

static int try_sweep(struct run *r, struct err *e)
{
    size_t back;
    char *unknown = NULL, *note = NULL;
    int rc = recover_sweep(&r->schemas, r->s, &back, &unknown, e);

    if (unknown)
        note = xasprintf("an import of an earlier version left tables in '%s' of which it is not "
                         "known whose old ones they are: %s; look into them, and drop them",
                         r->a->database, unknown);
    if (rc == 0)
        report_note(r->a->report, "leftovers", note);
    free(note);
    free(unknown);
    if (back > 0)
        log_warn("tables of '%s' were missing: the old ones are put back (%zu)", r->a->database,
                 back);
    return rc;
}

static int settle(struct run *r, struct err *e)
{
    int rc = patiently(r, try_settle, e);

    if (rc == 0 && r->settled == SETTLED_ENDED)
        log_warn("a renaming of tables of '%s' was interrupted and is ended now", r->a->database);
    if (rc == 0 && r->settled == SETTLED_BACK)
        log_warn("a renaming of tables of '%s' was interrupted and is taken back", r->a->database);
    return rc;
}

/* Before anything else. */
static int recover(struct run *r, struct err *e)
{
    int rc = recover_is_due(&r->schemas, r->s, e);

    if (rc <= 0)
        return rc;
    rc = settle(r, e);
    if (rc == 0 && r->settled >= SETTLED_DONE)
        rc = patiently(r, try_finish, e);
    if (rc == 0)
        rc = patiently(r, try_sweep, e);
    if (rc == 0) /* gives space back; what is in use still is dropped by the next import */
        (void)stage_empty(r->s, r->stage, NULL);
    return rc;
}

/* Before anything is done for it. An account that may not see it is told so by check_rights(). */
static int find_database(struct run *r, struct err *e)
{
    char *name = server_name(r->a->database);
    struct err e2 = {0};
    MYSQL_RES *res = NULL;
    int rc = server_query(r->s, &res, &e2, "SHOW CREATE DATABASE %s", name);

    if (res)
        mysql_free_result(res);
    if (rc == -EREMOTEIO && r->s->code == ER_BAD_DB_ERROR)
        rc = err_set(e, ENXIO,
                     "cannot import into the database '%s': the server has none of that name; "
                     "create it there (CREATE DATABASE %s), or name the right one with --database",
                     r->a->database, name);
    else if (rc == -EACCES)
        rc = 0;
    else if (rc < 0 && e)
        *e = e2;
    free(name);
    return rc;
}

static int begin(struct run *r, struct err *e)
{
    int rc = connect_server(r, e);

    if (rc == 0)
        rc = find_database(r, e);
    return rc < 0 || r->a->dry_run ? rc : recover(r, e);
}

/* --- the commit --- */

/* Before the commit: a table that is told in vain does no harm, one that is forgotten does. */
static int note_untold(struct run *r, struct err *e)
{
    int rc = history_begin(r->a->history);

    for (size_t i = 0; i < r->plan->n && rc >= 0; i++)
        if (r->plan->steps[i].action != ACTION_KEEP && r->plan->steps[i].action != ACTION_UNCHANGED)
            rc = history_add_untold(r->a->history, r->plan->steps[i].name);
    rc = history_end(r->a->history, rc);
    return rc < 0 ? err_sys(e, -rc, "cannot write the import history") : 0;
}

static int reconnect(struct run *r, struct err *e)
{
    struct lock_retry wait;
    int rc;

    lock_retry_init(&wait, NULL, RECONNECT_MS, r->a->stop);
    while ((rc = connect_server(r, e)) == -ENOTCONN && lock_retry_again(&wait))
        ;
    return rc;
}

/* --- by rows --- */

static int try_delta(struct run *r, struct err *e)
{
    return delta_try(r->plan, r->a->database, r->fd, r->s, &r->commit, e);
}

/* Visitors may come for so many of the rows that there is never a moment when none is locked. */
static bool swap_costs_little(const struct plan *p)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < p->n; i++)
        if (p->steps[i].action == ACTION_DELTA)
            bytes += p->steps[i].o->bytes;
    return bytes <= SWAP_LITTLE;
}

static int commit_rows(struct run *r, struct err *e)
{
    struct err e2 = {0};
    int rc = note_untold(r, e);

    if (rc == 0)
        rc = patiently_for(r, swap_costs_little(r->plan) ? ROWS_MS : PATIENCE_MS, try_delta, e);
    if (rc != -ENOTCONN || reconnect(r, &e2) < 0)
        return rc;
    rc = commit_marker_row_is_done(&r->commit, r->s, &e2); /* the outcome is unknown: ask */
    return rc == 1 ? 0 : rc == 0 ? -ENOTCONN : rc;
}

static int change_rows(struct run *r, struct err *e)
{
    int rc = stage_make(r->s, r->stage, e);

    commit_marker_init(&r->commit, r->stage, &r->dump->hash);
    if (rc == 0)
        rc = stage_empty(r->s, r->stage, e);
    if (rc == 0)
        rc = disk_space_check(&r->disk_space, r->plan->bytes, e);
    if (rc == 0)
        rc = commit_marker_prepare_row(&r->commit, r->s, e);
    if (rc == 0)
        rc = commit_rows(r, e);
    for (size_t i = 0; i < r->plan->n; i++)
        if (r->plan->steps[i].action == ACTION_DELTA)
            r->plan->steps[i].mark[0] = '\0'; /* others may have changed it in the same second */
    return rc;
}

static int try_counters(struct run *r, struct err *e)
{
    size_t n;

    return delta_counters(r->plan, r->a->database, r->s, &n, e);
}

/* A counter that visitors do not let be set back only leaves a gap in numbers to come. */
static int set_counters(struct run *r, struct err *e)
{
    struct err e2 = {0};
    int rc = 0;

    if (delta_counters_due(r->plan))
        rc = patiently_for(r, COUNTER_MS, try_counters, &e2);
    if (rc == -EAGAIN)
        log_warn("an AUTO_INCREMENT of '%s' is not set to the dump's: %s", r->a->database, e2.text);
    else if (rc < 0 && e)
        *e = e2;
    return rc == -EAGAIN ? 0 : rc;
}

/* --- by tables --- */

static void report_own(struct run *r, const char *sentence)
{
    if (keep_rules_report(r->a->keep, sentence))
        log_warn("columns of '%s' that were to be kept: %s", r->a->database, sentence);
}

static int try_own(struct run *r, struct err *e)
{
    struct buf notes = BUF_INIT;
    int rc = kept_columns_copy(r->plan, r->a->database, r->stage, r->s, &notes, e);

    if (rc == 0 && notes.len > 0) {
        report_own(r, notes.data);
        report_note(r->a->report, "columns", notes.data);
    }
    buf_release(&notes);
    return rc;
}

static int try_swap(struct run *r, struct err *e)
{
    const struct swap w = {.plan = r->plan, .schemas = &r->schemas, .commit = &r->commit};
    int rc = try_own(r, e);

    return rc < 0 ? rc : swap_try(&w, &r->moves, r->s, e);
}

/* 0: the tables are renamed. *ret_none: it is proved that none is. */
static int rename_tables(struct run *r, bool *ret_none, struct err *e)
{
    const struct swap w = {.plan = r->plan, .schemas = &r->schemas, .commit = &r->commit};
    struct err e2 = {0};
    int rc, rc2;

    commit_marker_init(&r->commit, r->stage, &r->dump->hash);
    rc = swap_prepare(&w, r->s, &r->moves, e);
    if (rc == 0)
        rc = note_untold(r, e);
    if (rc == 0)
        rc = patiently(r, try_swap, e);
    if (rc == 0)
        return 0;
    rc2 = rc == -ENOTCONN ? reconnect(r, &e2) : 0;
    if (rc2 == 0)
        rc2 = settle(r, &e2);
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
 * A staged table was changed by nobody else, so its update time holds after the rename, if the
 * server still says the same: else a visitor was there already, and the mark is void. Its creation
 * time is another one.
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

/* Nobody else has come to the tables there. */
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

static struct stored_objects stored_objects_of(struct run *r)
{
    if (!r->made)
        r->made = xcalloc(r->dump->n + 1, sizeof(*r->made));
    return (struct stored_objects){.plan = r->plan,
                                   .schemas = &r->schemas,
                                   .history = r->a->history,
                                   .lock_retry = &r->lock_retry,
                                   .drop_missing = r->a->drop_missing,
                                   .made = r->made};
}

static int try_triggers(struct run *r, struct err *e)
{
    const struct stored_objects w = stored_objects_of(r);

    return stored_objects_make_triggers(&w, r->s, e);
}

/* Those that wait for a table in use are made with the other objects. */
static int make_triggers(struct run *r, struct err *e)
{
    struct err e2 = {0};
    int rc = patiently_for(r, TRIGGERS_MS, try_triggers, &e2);

    if (rc == -EAGAIN)
        return 0;
    if (rc < 0 && e)
        *e = e2;
    return rc;
}

/* What an import needs: both schemas, and nothing in them. */
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

static int change_tables(struct run *r, struct failure *f, struct err *e)
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
        rc = patiently(r, try_own, e);
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
        rc = patiently(r, try_finish, e);
    if (rc == 0)
        rc = take_marks(r, &staged, e);
    live_release(&staged);
    return rc;
}

/* --- in order --- */

static int record_tables(struct run *r)
{
    int rc = 0;

    for (size_t i = 0; i < r->plan->n && rc >= 0; i++) {
        const struct step *st = &r->plan->steps[i];
        struct past past = {.def = st->def.hash, .live_def = st->live_def};
        if (!st->o) {
            rc = history_forget(r->a->history, "TABLE", st->name);
            if (rc >= 0)
                rc = history_forget(r->a->history, "SEQUENCE", st->name);
        }
        if (st->action == ACTION_KEEP || !st->o ||
            (st->action == ACTION_UNCHANGED && !st->has_live_def))
            continue;
        past.hash = st->o->hash;
        past.probe = st->probe;
        past.compared_ms = st->action == ACTION_DELTA && !st->rows_read ? st->past.compared_ms
                                                                        : clock_wall_ns() / 1000000;
        memcpy(past.mark, st->mark, sizeof(past.mark));
        rc = history_set_object(r->a->history, object_kind_name(st->o->kind), st->name, &past);
    }
    return rc;
}

static int record(struct run *r, const struct last_import *last, struct err *e)
{
    struct history *h = r->a->history;
    int rc = history_begin(h);

    if (rc >= 0)
        rc = record_tables(r);
    for (size_t i = 0; i < r->dump->n && rc >= 0; i++) {
        const struct object *o = r->dump->objects[i];
        struct past past = {.hash = o->hash};
        if (!object_is_table(o))
            rc = history_set_object(h, object_kind_name(o->kind), o->name, &past);
    }
    if (rc >= 0)
        rc = history_add(h, last, e);
    rc = history_end(h, rc);
    return rc < 0 ? err_sys(e, -rc, "cannot write the import history") : 0;
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

/* What the account lacks is an error; what it could do beyond, for a body that is not what it
 * seems, is worth a note. */
static int check_rights(struct run *r, struct err *e)
{
    char *excess = NULL, *note = NULL;
    int rc = privileges_check(r->s, r->a->database, r->stage, r->old, r->dump, &excess, e);

    if (excess)
        note = xasprintf("the importer's account may do more than it needs: %s; give it an account "
                         "with the rights in the README only",
                         excess);
    if (rc == 0)
        report_note(r->a->report, "rights", note);
    free(note);
    free(excess);
    return rc;
}

static void note_definers(struct run *r)
{
    char *note = stored_objects_definers(r->dump, r->s);

    if (note && r->others > 0)
        log_warn("%s", note);
    report_note(r->a->report, "definers", note);
    free(note);
}

static int judge(struct run *r, struct failure *f, struct err *e)
{
    struct hash secret;
    int rc = history_secret(r->a->history, &secret, e);

    if (rc < 0)
        return rc;
    if (r->a->known_bad && hash_fd(r->fd, &f->hash, NULL) == 0 &&
        hash_eq(r->a->known_bad, &f->hash))
        return -EALREADY;
    rc = begin(r, e); /* the server decides what the dump means */
    if (rc < 0)
        return rc;
    if (r->a->witness)
        witness_take(r->a->witness, r->fd);
    rc = dump_read(r->fd, &secret, &r->s->dialect, &r->dump, &f->where, e);
    f->hash = r->dump->hash;
    if (rc == -EPROTO && r->dump->unmarked && r->a->accept_unmarked)
        rc = 0;
    if (rc == 0)
        rc = stored_objects_check(r->dump, r->a->database, r->a->allow_body, &f->where, e);
    if (rc == 0)
        rc = collation_adapt(r->dump, r->s, e);
    if (rc == 0)
        rc = check_rights(r, e);
    if (r->s)
        disk_space_init(&r->disk_space, r->s);
    return rc;
}

static void report_kept(struct run *r, const struct strlist *kept)
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < kept->n; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", kept->v[i]);
    if (report_set_kept(r->a->report, kept))
        log_info("tables and columns of '%s' that stay this server's own: %s", r->a->database,
                 kept->n > 0 ? b.data : "none");
    buf_release(&b);
}

static void add_kept_column(struct strlist *kept, const char *table, const char *column)
{
    char *text = xasprintf("%s.%s", table, column);

    strlist_add(kept, text);
    free(text);
}

/* Those that are there, or come with the dump. */
static void report_kept_of_plan(struct run *r)
{
    struct strlist kept = {NULL, 0};

    for (size_t i = 0; i < r->plan->n; i++) {
        const struct step *st = &r->plan->steps[i];
        if (st->o && keep_rules_table(r->a->keep, st->name))
            strlist_add(&kept, st->name);
        for (size_t k = 0; st->o && k < st->o->own.n; k++)
            add_kept_column(&kept, st->name, st->o->own.v[k]);
    }
    report_kept(r, &kept);
    strlist_release(&kept);
}

struct kept_columns {
    struct strlist *kept;
    const char *table;
    struct table_def def;
};

static void add_if_there(void *arg, const char *column, bool asked)
{
    struct kept_columns *c = arg;

    (void)asked;
    for (size_t i = 0; i < c->def.columns.n; i++)
        if (strcasecmp(c->def.columns.v[i], column) == 0)
            add_kept_column(c->kept, c->table, c->def.columns.v[i]);
}

static void count_column(void *arg, const char *column, bool asked)
{
    (void)column;
    (void)asked;
    ++*(size_t *)arg;
}

static void add_kept_of_server(struct run *r, const char *table, struct strlist *kept)
{
    struct kept_columns c = {.kept = kept, .table = table};
    size_t n = 0;

    keep_rules_columns(r->a->keep, table, count_column, &n);
    if (n == 0 || live_table_def(r->s, r->a->database, table, &c.def, NULL) < 0)
        return;
    keep_rules_columns(r->a->keep, table, add_if_there, &c);
    table_def_release(&c.def);
}

/* Before the first dump. */
static int report_kept_of_server(struct run *r, struct err *e)
{
    struct strlist kept = {NULL, 0};
    struct live live;
    int rc = live_read(r->s, r->a->database, &live, e);

    keep_rules_begin(r->a->keep);
    for (size_t i = 0; i < live.n; i++)
        keep_rules_see(r->a->keep, live.v[i].name);
    keep_rules_end(r->a->keep);
    for (size_t i = 0; i < live.n; i++)
        if (!live.v[i].view && keep_rules_table(r->a->keep, live.v[i].name))
            strlist_add(&kept, live.v[i].name);
        else if (!live.v[i].view)
            add_kept_of_server(r, live.v[i].name, &kept);
    if (rc == 0)
        report_kept(r, &kept);
    strlist_release(&kept);
    live_release(&live);
    return rc;
}

/* Before marks are believed, or new ones taken. */
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
        report_kept_of_plan(r);
    if (rc == 0 && r->plan->notes.len > 0)
        report_own(r, r->plan->notes.data);
    if (rc == 0)
        report_note(r->a->report, "columns", r->plan->notes.len ? r->plan->notes.data : NULL);
    crash_point("import.planned");
    return rc;
}

/* Plans and commits; where live rows turn out to be others than thought, they are looked at. */
static int change(struct run *r, struct failure *f, struct err *e)
{
    int rc = -EBADMSG;

    for (enum trust t = TRUST_HISTORY; rc == -EBADMSG && t <= TRUST_NONE; t++) {
        rc = make_plan(r, t, e);
        if (rc < 0)
            break;
        if (r->plan->deltas > 0)
            rc = change_rows(r, e);
        if (rc == -EBADMSG)
            log_info("%s; comparing again", e->text);
        if (rc == -EAGAIN && swap_costs_little(r->plan)) {
            log_info("rows of '%s' are in use all the time: whole tables take their places",
                     r->a->database);
            t = TRUST_LIVE; /* and then no deltas */
            rc = -EBADMSG;
        }
    }
    if (rc == 0 && r->plan->swaps + r->plan->drops > 0)
        rc = change_tables(r, f, e);
    return rc;
}

static int make_others(struct run *r, struct failure *f, struct err *e)
{
    const struct stored_objects w = stored_objects_of(r);
    struct err e2 = {0};
    int rc;

    lock_retry_init(&r->lock_retry, r->s, PATIENCE_MS, r->a->stop);
    rc = stored_objects_make(&w, r->s, &r->others, &f->where, e);
    lock_retry_end(&r->lock_retry);
    /* A server that died may have left a table's name to nobody, while a view came to it. */
    if (rc == -ENOTCONN && r->plan->views > 0 && reconnect(r, &e2) == 0)
        (void)recover(r, &e2);
    return rc;
}

static int carry_out(struct run *r, int64_t begin, struct last_import *last, struct failure *f,
                     struct err *e)
{
    int rc = change(r, f, e);

    if (rc == 0)
        rc = set_counters(r, e);
    if (rc == 0)
        crash_point("import.stored_objects");
    if (rc == 0)
        rc = make_others(r, f, e);
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
    rc = record(r, last, e);
    if (rc == -ENOSPC) { /* the history matters, the row hashes beside it are a cache */
        row_cache_sweep(r->a->row_cache_dir, in_none, NULL);
        rc = record(r, last, e);
    }
    if (r->plan->swaps + r->plan->drops + r->plan->views > 0)
        (void)try_sweep(r, NULL); /* what stays is dropped by the next import */
    row_cache_sweep(r->a->row_cache_dir, in_dump, r->dump);
    return rc;
}

static void run_init(struct run *r)
{
    r->stage = xasprintf("%s_eefs_stage", r->a->database);
    r->old = xasprintf("%s_eefs_old", r->a->database);
    r->schemas = (struct schemas){.database = r->a->database, .stage = r->stage, .old = r->old};
}

static void run_release(struct run *r)
{
    plan_free(r->plan);
    free(r->made);
    moves_release(&r->moves);
    disk_space_release(&r->disk_space);
    server_close(r->s);
    dump_free(r->dump);
    free(r->stage);
    free(r->old);
}

int import_recover(const struct import_args *a, struct err *e)
{
    struct run r = {.a = a};
    int rc;

    run_init(&r);
    rc = begin(&r, e);
    if (rc == 0)
        rc = report_kept_of_server(&r, e);
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
    rc = judge(&r, f, e);
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
