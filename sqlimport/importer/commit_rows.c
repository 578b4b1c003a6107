/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/commit_rows.h"

#include <errno.h>

#include "sqlimport/apply/delta.h"
#include "sqlimport/apply/stage.h"
#include "sqlimport/importer/import_record.h"
#include "sync/common/log.h"

#define FEW_BYTES  ((uint64_t)32 << 20)
#define FEW_MS     3000 /* how long to try for rows, where a swap costs little */
#define COUNTER_MS 2000

bool commit_rows_are_few(const struct plan *p)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < p->n; i++)
        if (p->steps[i].action == ACTION_DELTA)
            bytes += p->steps[i].o->bytes;
    return bytes <= FEW_BYTES;
}

static int try_delta(struct run *r, struct err *e)
{
    return delta_try(r->plan, r->a->database, r->fd, r->s, &r->commit, e);
}

static int commit_transaction(struct run *r, struct err *e)
{
    struct err e2 = {0};
    int rc = import_record_untold(r, e);

    if (rc == 0)
        rc = run_retry_for(r, commit_rows_are_few(r->plan) ? FEW_MS : RUN_RETRY_MS, try_delta, e);
    if (rc != -ENOTCONN || run_reconnect(r, &e2) < 0)
        return rc;
    rc = commit_marker_row_is_done(&r->commit, r->s,
                                   &e2); /* the outcome is unknown: the marker shows it */
    return rc == 1 ? 0 : rc == 0 ? -ENOTCONN : rc;
}

int commit_rows(struct run *r, struct err *e)
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
        rc = commit_transaction(r, e);
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

/* A counter that stays too high only leaves a gap in the numbers to come. */
int commit_rows_counters(struct run *r, struct err *e)
{
    struct err e2 = {0};
    int rc = 0;

    if (delta_counters_due(r->plan))
        rc = run_retry_for(r, COUNTER_MS, try_counters, &e2);
    if (rc == -EAGAIN)
        log_warn("cannot set an AUTO_INCREMENT of '%s' to the dump's value: %s", r->a->database,
                 e2.text);
    else if (rc < 0 && e)
        *e = e2;
    return rc == -EAGAIN ? 0 : rc;
}
