/* SPDX-License-Identifier: MIT */
/*
 * delta: writes the rows that differ into the live tables, all of them in one transaction.
 *
 * It first locks all rows that go or change, table by table and in the order of the keys, and
 * compares them with what the plan expects. Then it deletes them and inserts the new ones, so that
 * values of unique keys may trade places; columns that stay this server's own (kept_columns.h) keep
 * the locked row's values. With the connection as lock_retry.h set it, no statement waits for a
 * lock of any kind: of rows and the gaps between them, of entries in other indexes, of a table's
 * counter. (Foreign keys are not checked, so their rows are not locked.) One thread.
 */
#ifndef EEFS_SQLIMPORT_APPLY_DELTA_H
#define EEFS_SQLIMPORT_APPLY_DELTA_H

#include "sqlimport/apply/commit_marker.h"
#include "sqlimport/plan/plan.h"

/*
 * One try. 0: committed. -EAGAIN: a row or table was in use; -EBADMSG: live rows are not as the
 * plan read them; -ESTALE: the dump is not; -ENOTCONN: the outcome is unknown, see
 * commit_marker_row_is_done(). On any other failure nothing is changed.
 */
int delta_try(const struct plan *p, const char *database, int fd, struct server *s,
              const struct commit_marker *c, struct err *e);

/* False: delta_counters() has nothing to do. */
bool delta_counters_due(const struct plan *p);
/* Brings the tables' AUTO_INCREMENT to the dump's, where it is another. *ret_n counts them. */
int delta_counters(struct plan *p, const char *database, struct server *s, size_t *ret_n,
                   struct err *e);

#endif
