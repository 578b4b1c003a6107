/* SPDX-License-Identifier: MIT */
/*
 * exchange: a view takes the place of a live table, without a moment at which neither is there.
 *
 * The view is made beside the table, as RECORD_VIEW: no view leaves its schema. One RENAME sets the
 * table aside and gives the view its name. It is written down before (move_record.h), and its
 * outcome is proved as for the tables that an import swaps (recover.h). One thread; the caller
 * holds the import lock, and the connection refuses tables in use (lock_retry.h).
 *
 *     exchange_begin() ──> CREATE VIEW _eefs_view ──> exchange_view()
 */
#ifndef EEFS_SQLIMPORT_APPLY_EXCHANGE_H
#define EEFS_SQLIMPORT_APPLY_EXCHANGE_H

#include "sqlimport/apply/move_record.h"

/* Before the view is made: ends what the commit, or an earlier exchange, left to do, so that there
 * is no record. Errors as of recover.h. */
int exchange_begin(const struct schemas *c, struct server *s, struct err *e);

/* Exchanges table `name` for RECORD_VIEW, and drops the table. `hash` is the dump's. -EAGAIN: the
 * table is in use, begin again; -ENOTCONN: recovery will find the outcome; else as of recover.h and
 * server.h. */
int exchange_view(const struct schemas *c, const struct hash *hash, const char *name,
                  struct server *s, struct err *e);

#endif
