/* SPDX-License-Identifier: MIT */
/*
 * commit_tables: commits a plan with swaps or drops: fills the staging schema, puts its tables in
 * place by one RENAME, and makes their triggers. One thread, besides those of stage.h.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_COMMIT_TABLES_H
#define EEFS_SQLIMPORT_IMPORTER_COMMIT_TABLES_H

#include "sqlimport/importer/run.h"

/* Returns as import_run(); on failure *f says where in the dump. The steps of the plan get the
 * marks, probes and definitions of the new tables. */
int commit_tables(struct run *r, struct failure *f, struct err *e);

#endif
