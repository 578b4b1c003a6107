/* SPDX-License-Identifier: MIT */
/*
 * foreign_keys: tables that foreign keys connect, in the dump or in the live database. A renamed
 * table takes its keys along, so they are swapped together or not at all.
 */
#ifndef EEFS_SQLIMPORT_PLAN_FOREIGN_KEYS_H
#define EEFS_SQLIMPORT_PLAN_FOREIGN_KEYS_H

#include "sqlimport/plan/plan.h"

/* Makes a SWAP (or NEW) of every step that is connected with one, or whose key leads to a table
 * that is dropped. -EPERM, with a sentence: one of them is kept, not in the dump, or of another
 * database. */
int foreign_keys_pull(struct plan *p, struct server *s, const char *database, struct err *e);

#endif
