/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/leftovers.h"

#include <stdlib.h>

#include "sqlimport/apply/old_tables.h"
#include "sqlimport/apply/stage.h"
#include "sqlimport/record/report.h"
#include "sync/common/buf.h"
#include "sync/common/log.h"

static int try_settle(struct run *r, struct err *e)
{
    char *copied = NULL;
    int rc = recover_settle(&r->schemas, r->s, &r->settled, &copied, e);

    if (copied)
        log_warn("the server died while it renamed table '%s' of '%s', and cannot use that name: a "
                 "copy of the old table took its place, in the engine MyISAM; remove the remains "
                 "of the new table ('%s.ibd', '%s.frm') by hand, see the server's log",
                 copied, r->a->database, copied, copied);
    free(copied);
    return rc;
}

int leftovers_settle(struct run *r, struct err *e)
{
    int rc = run_retry(r, try_settle, e);

    if (rc == 0 && r->settled == SETTLED_ENDED)
        log_warn("a RENAME of tables of '%s' was interrupted: completed it", r->a->database);
    if (rc == 0 && r->settled == SETTLED_BACK)
        log_warn("a RENAME of tables of '%s' was interrupted: took it back", r->a->database);
    return rc;
}

int leftovers_finish(struct run *r, struct err *e)
{
    char *odd = NULL;
    int rc = recover_finish(&r->schemas, r->s, &odd, e);

    if (rc == 0 && odd)
        log_warn("cannot give a constraint of '%s' its name '%s': it keeps a temporary name until "
                 "its table changes",
                 r->a->database, odd);
    free(odd);
    return rc;
}

int leftovers_sweep(struct run *r, struct err *e)
{
    size_t back;
    char *unknown = NULL, *note = NULL;
    int rc = old_tables_sweep(&r->schemas, r->s, &back, &unknown, e);

    if (unknown)
        note = xasprintf("an import of an earlier version left old tables in '%s', and nothing "
                         "shows which tables they were: %s; inspect them, then drop them",
                         r->a->database, unknown);
    if (rc == 0)
        report_note(r->a->report, "leftovers", note);
    free(note);
    free(unknown);
    if (back > 0)
        log_warn("%zu tables of '%s' were missing: put back the old ones", back, r->a->database);
    return rc;
}

int leftovers_clear(struct run *r, struct err *e)
{
    int rc = recover_is_due(&r->schemas, r->s, e);

    if (rc <= 0)
        return rc;
    rc = leftovers_settle(r, e);
    if (rc == 0 && r->settled >= SETTLED_DONE)
        rc = run_retry(r, leftovers_finish, e);
    if (rc == 0)
        rc = run_retry(r, leftovers_sweep, e);
    if (rc == 0) /* gives space back; what is in use still is dropped by the next import */
        (void)stage_empty(r->s, r->stage, NULL);
    return rc;
}
