/* SPDX-License-Identifier: MIT */
/*
 * object_kind: the kinds of objects of a database that a dump makes. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_OBJECT_KIND_H
#define EEFS_SQLIMPORT_SQL_OBJECT_KIND_H

enum object_kind {
    OBJECT_TABLE,
    OBJECT_SEQUENCE, /* handled as a table */
    OBJECT_VIEW,
    OBJECT_TRIGGER,
    OBJECT_FUNCTION,
    OBJECT_PROCEDURE,
    OBJECT_EVENT,
};

/* "TABLE", as in DROP …; a literal. */
const char *object_kind_name(enum object_kind kind);

#endif
