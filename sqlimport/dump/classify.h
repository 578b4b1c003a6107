/* SPDX-License-Identifier: MIT */
/*
 * classify: what one statement of a dump does, and whether an import may do it.
 *
 * The list of what is allowed is here; everything else is refused.
 */
#ifndef EEFS_SQLIMPORT_DUMP_CLASSIFY_H
#define EEFS_SQLIMPORT_DUMP_CLASSIFY_H

#include "sqlimport/dump/dump.h"
#include "sqlimport/sql/split.h"

/*
 * Adds the statement to d. *ret is the object that it belongs to, when there is one, also on
 * failure. 0, or -EPERM with a sentence.
 */
int classify(struct dump *d, const struct statement *st, struct object **ret, struct err *e);

/* dump.c: a DROP of what the dump made before: it is no part of it any more. */
void dump_discard(struct dump *d, enum object_kind kind, const char *name);
/* dump.c: finds or adds an object; hashes its last range, to which nothing is added any more. */
struct object *dump_object(struct dump *d, enum object_kind kind, const char *name);
void dump_end_range(struct object *o);

#endif
