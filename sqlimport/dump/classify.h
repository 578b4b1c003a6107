/* SPDX-License-Identifier: MIT */
/*
 * classify: decides what one statement of a dump does, and whether an import may do it. One thread.
 *
 * The list of what is allowed is here; everything else is refused.
 */
#ifndef EEFS_SQLIMPORT_DUMP_CLASSIFY_H
#define EEFS_SQLIMPORT_DUMP_CLASSIFY_H

#include "sqlimport/dump/objects.h"
#include "sqlimport/sql/split.h"

/*
 * Adds the statement to d. *ret is the object that it belongs to, when there is one, also on
 * failure. 0, or -EPERM with a sentence.
 */
int classify(struct dump *d, const struct statement *st, struct object **ret, struct err *e);

#endif
