/* SPDX-License-Identifier: MIT */
/*
 * fill: statements that put rows into tables, as ranges of the dump; the cursor stands at their
 * first word. 0, or -EPERM with a sentence. One thread.
 */
#ifndef EEFS_SQLIMPORT_DUMP_FILL_H
#define EEFS_SQLIMPORT_DUMP_FILL_H

#include "sqlimport/dump/reading.h"

int fill_insert(struct reading *r); /* INSERT, REPLACE */
int fill_setval(struct reading *r); /* DO SETVAL(…), SELECT SETVAL(…): the state of a sequence */
/* DELETE FROM t, TRUNCATE [TABLE] t, with `word` before the name. */
int fill_empty(struct reading *r, const char *word);

#endif
