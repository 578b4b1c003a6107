/* SPDX-License-Identifier: MIT */
/*
 * swap: the one statement by which staged tables become the live ones.
 *
 * The moves are written down first (move_record.h). When the RENAME does not succeed, or its answer
 * is lost, recover.h finds out how it ended. A table with triggers cannot leave its schema, so it
 * is set aside within the live database until recover_finish() drops it; loans.h sees to the names
 * of its keys. One thread.
 */
#ifndef EEFS_SQLIMPORT_APPLY_SWAP_H
#define EEFS_SQLIMPORT_APPLY_SWAP_H

#include "sqlimport/apply/commit_marker.h"
#include "sqlimport/plan/plan.h"
#include "sqlimport/apply/move_record.h"

struct swap {
    const struct plan *plan;
    const struct schemas *schemas;
    const struct commit_marker *commit;
};

/* When all is staged: prepares the constraints, writes down the moves, and makes the commit's
 * marker. Caller releases *ret, also after an error. -EPERM, with a sentence: a constraint's name
 * is taken. */
int swap_prepare(const struct swap *w, struct server *s, struct moves *ret, struct err *e);
/* One try of the RENAME; -EAGAIN: a table was in use; -ESTALE: the live tables are no longer those
 * of the plan; -ENOTCONN: the outcome is unknown. */
int swap_try(const struct swap *w, const struct moves *m, struct server *s, struct err *e);

#endif
