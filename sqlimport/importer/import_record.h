/* SPDX-License-Identifier: MIT */
/*
 * import_record: writes an import into the history. One thread.
 *
 *     untold ──> commit ──> stored objects ──> write
 *
 * Killed before `write`, the import is found in the live database and recorded by the next one.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_IMPORT_RECORD_H
#define EEFS_SQLIMPORT_IMPORTER_IMPORT_RECORD_H

#include "sqlimport/importer/run.h"

/* Before the commit: notes the tables that change, for the command of --after. To report a table in
 * vain does no harm, to forget one does. */
int import_record_untold(struct run *r, struct err *e);

/* After it: every table and object as it is now, and *last, in one transaction. -ENOSPC: the disk
 * of the history is full. */
int import_record_write(struct run *r, const struct last_import *last, struct err *e);

#endif
