/* SPDX-License-Identifier: MIT */
/*
 * leftovers: brings to an end what an interrupted import, or a RENAME of this one, left half done,
 * by recover.h, and logs and reports it. One thread.
 *
 * All return as of recover.h.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_LEFTOVERS_H
#define EEFS_SQLIMPORT_IMPORTER_LEFTOVERS_H

#include "sqlimport/importer/run.h"

/* All of it, before anything else is done: settle, finish, sweep. Repeats while tables are in
 * use. */
int leftovers_clear(struct run *r, struct err *e);

/* Finds out how the last RENAME ended (r->settled). Repeats while tables are in use. */
int leftovers_settle(struct run *r, struct err *e);

/* One try each (run_try_fn) of recover_finish() and old_tables_sweep(). */
int leftovers_finish(struct run *r, struct err *e);
int leftovers_sweep(struct run *r, struct err *e);

#endif
