/* SPDX-License-Identifier: MIT */
/*
 * judge: everything that may refuse a dump before anything is changed for it: the database, the
 * dump's bytes, the bodies of its views and routines, the account's rights. One thread.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_JUDGE_H
#define EEFS_SQLIMPORT_IMPORTER_JUDGE_H

#include "sqlimport/importer/run.h"

/* Connects, finds the database (-ENXIO: there is none) and, unless it is a dry run, clears
 * leftovers. */
int judge_connect(struct run *r, struct err *e);

/* The same, and then reads and judges the dump: r->dump is set, also on most errors. Returns as
 * import_run(), and fills f->hash and f->where. */
int judge_dump(struct run *r, struct failure *f, struct err *e);

#endif
