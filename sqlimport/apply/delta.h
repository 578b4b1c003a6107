/* SPDX-License-Identifier: MIT */
/*
 * delta: writes the rows that differ into the live tables, all of them in one transaction.
 *
 * Rows that go or change are first locked, all of them, table by table and in the order of the
 * keys, and compared with what they were thought to be; then they are deleted and the new ones
 * inserted, so that values of unique keys may trade places; columns that stay this server's own
 * (kept_columns.h) keep the locked row's values. As patience has set the connection, no lock is waited for,
 * whatever its kind: of rows and the gaps between them, of entries in other indexes, of a table's
 * counter. (Foreign keys are not checked, so their rows are not locked.) One thread.
 */
#ifndef EEFS_SQLIMPORT_APPLY_DELTA_H
#define EEFS_SQLIMPORT_APPLY_DELTA_H

#include "sqlimport/apply/commit_marker.h"
#include "sqlimport/plan/plan.h"

/*
 * One try. 0: committed. -EAGAIN: a row or table was in use; -EBADMSG: live
 * rows are not what the plan was made from; -ESTALE: the dump is not; -ENOTCONN: the outcome is
 * unknown, see commit_is_done(). But for that nothing is changed on failure.
 */
int delta_try(const struct plan *p, const char *database, int fd, struct server *s,
              const struct commit_marker *c, struct err *e);

/* False: delta_counters() has nothing to look at. */
bool delta_counters_due(const struct plan *p);
/* Brings the tables' AUTO_INCREMENT to the dump's, where it is another. *ret_n counts them. */
int delta_counters(struct plan *p, const char *database, struct server *s, size_t *ret_n,
                   struct err *e);

#endif
