/* SPDX-License-Identifier: MIT */
/*
 * alter: an ALTER TABLE that stands behind a table's rows, written into its CREATE TABLE.
 *
 * phpMyAdmin makes a table without keys, fills it, and adds keys, AUTO_INCREMENT and constraints
 * afterwards; what comes out is the table that one CREATE with all of them makes. Both texts are
 * plain (see plain.h). Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_ALTER_H
#define EEFS_SQLIMPORT_SQL_ALTER_H

#include <stdbool.h>

#include "sqlimport/sql/token.h"
#include "sync/common/buf.h"
#include "sync/common/err.h"

/* Bytes of a CREATE that can be altered, and of all that an ALTER adds to it. */
#define ALTER_DDL_MAX ((size_t)512 << 10)
#define ALTERS_MAX    100 /* of one table */

/*
 * `create` is the CREATE TABLE, and is replaced; l stands behind the table's name in the ALTER.
 * *ret_counter: a column became AUTO_INCREMENT, which changes what the values 0 and NULL of rows
 * mean. -EPERM with a sentence: it does something else than ADD KEY, ADD CONSTRAINT and the like,
 * AUTO_INCREMENT=n, and MODIFY of a column to the same with AUTO_INCREMENT.
 */
int alter_table(struct buf *create, struct lexer *l, bool *ret_counter, struct err *e);

#endif
