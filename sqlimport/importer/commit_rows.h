/* SPDX-License-Identifier: MIT */
/*
 * commit_rows: commits a plan of deltas: the rows that differ, in one transaction. One thread.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_COMMIT_ROWS_H
#define EEFS_SQLIMPORT_IMPORTER_COMMIT_ROWS_H

#include "sqlimport/importer/run.h"

/* Commits all deltas. -EBADMSG: live rows are not as planned, so plan again; -EAGAIN: rows were in
 * use all the time. */
int commit_rows(struct run *r, struct err *e);

/* The tables of these deltas are so small (32 MB) that a swap of them costs little: it is better
 * than to wait long for rows in use. */
bool commit_rows_are_few(const struct plan *p);

/* After any commit: sets the AUTO_INCREMENT of tables that were not swapped to the dump's. One that
 * is in use is logged and left. */
int commit_rows_counters(struct run *r, struct err *e);

#endif
