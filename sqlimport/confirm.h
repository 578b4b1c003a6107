/* SPDX-License-Identifier: MIT */
/*
 * confirm: between imports, looks whether tables are as imported where their marks cannot tell.
 *
 * After a delta a visitor may have changed a table within the same second, so the table has no mark
 * and the next import would have to read it. This reads it at leisure: rows that are those of the
 * last dump give it a mark. One thread, the one that imports.
 */
#ifndef EEFS_SQLIMPORT_CONFIRM_H
#define EEFS_SQLIMPORT_CONFIRM_H

#include "sqlimport/history.h"

#define CONFIRM_AFTER_MS 1500 /* after an import: its second must have ended */

/* Looks at one table. 1: there may be more; 0: none is left; -errno. Each is looked at once after
 * an import. */
int confirm_one(struct history *h, const char *defaults_file, const char *database,
                const char *rowset_dir, struct err *e);

#endif
