/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/run.h"

#include <errno.h>
#include <stdlib.h>

#include "sqlimport/dump/dump_read.h"
#include "sqlimport/server/import_lock.h"
#include "sync/common/buf.h"
#include "sync/common/log.h"

#define RECONNECT_MS 10000
#define BUSY_SHOWN   3 /* tables that a sentence names */

/* --- life --- */

void run_init(struct run *r)
{
    r->stage = xasprintf("%s_eefs_stage", r->a->database);
    r->old = xasprintf("%s_eefs_old", r->a->database);
    r->schemas = (struct schemas){.database = r->a->database, .stage = r->stage, .old = r->old};
}

void run_release(struct run *r)
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

/* --- the connection that commits --- */

static int take_import_lock(struct run *r, struct err *e)
{
    char *dead = NULL;
    int rc = import_lock_take(r->s, r->a->database, &dead, e);

    if (dead)
        log_warn("%s", dead);
    free(dead);
    return rc;
}

int run_connect(struct run *r, struct err *e)
{
    int rc;

    server_close(r->s);
    r->s = NULL;
    rc = server_open(r->a->defaults_file, &r->s, e);
    /* A visitor who comes behind a waiting commit waits with it. */
    if (rc == 0)
        rc = server_lock_wait(r->s, 1, e);
    if (rc == 0)
        rc = take_import_lock(r, e);
    return rc;
}

int run_reconnect(struct run *r, struct err *e)
{
    struct lock_retry wait;
    int rc;

    lock_retry_init(&wait, NULL, RECONNECT_MS, r->a->stop);
    while ((rc = run_connect(r, e)) == -ENOTCONN && lock_retry_again(&wait))
        ;
    return rc;
}

/* --- tries --- */

/* malloc'd: "tables 'a', 'b' of 'live'", as far as the server shows it. */
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

static void report_blockers(struct run *r, const struct err *e)
{
    char *who, *what;

    if (!lock_retry_reports(&r->lock_retry))
        return;
    what = busy_tables(r);
    who = lock_retry_blockers(r->s, r->a->database);
    log_warn(
        "cannot commit yet: %s are in use, for %d s now%s (%.200s); these may be in the way: %s",
        what, lock_retry_age(&r->lock_retry),
        r->lock_retry.waits ? "; the import now makes other connections wait, 1 s at a time" : "",
        e ? e->text : "", who);
    free(what);
    free(who);
}

/* The time is over: names who was in the way, for the report and the log. */
static int give_up(struct run *r, struct err *e)
{
    char *who, *what;

    if (*r->a->stop)
        return err_set(e, EINTR, "stopped");
    what = busy_tables(r);
    who = lock_retry_blockers(r->s, r->a->database);
    err_prefix(e, "%s were in use for %d s; these may be in the way: %.400s", what,
               lock_retry_age(&r->lock_retry), who);
    free(what);
    free(who);
    return -EAGAIN;
}

int run_retry_for(struct run *r, int64_t limit_ms, run_try_fn *try, struct err *e)
{
    int rc;

    lock_retry_init(&r->lock_retry, r->s, limit_ms, r->a->stop);
    while ((rc = try(r, e)) == -EAGAIN) {
        report_blockers(r, e);
        if (!lock_retry_again(&r->lock_retry)) {
            rc = give_up(r, e);
            break;
        }
    }
    lock_retry_end(&r->lock_retry);
    return rc;
}

int run_retry(struct run *r, run_try_fn *try, struct err *e)
{
    return run_retry_for(r, RUN_RETRY_MS, try, e);
}

/* --- views and the like --- */

struct stored_objects run_stored_objects(struct run *r)
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
