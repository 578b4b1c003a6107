/* SPDX-License-Identifier: MIT */
/*
 * table_grammar: the grammar of CREATE TABLE and CREATE SEQUENCE, as SHOW CREATE prints them.
 *
 * It refuses all that is not in it: rows from a query, names with a database, folders, tablespaces,
 * connections, engines that lead elsewhere, functions that do more than compute. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_TABLE_GRAMMAR_H
#define EEFS_SQLIMPORT_SQL_TABLE_GRAMMAR_H

#include "sqlimport/sql/syntax.h"
#include "sync/common/opt.h"

/* Judges a whole statement of plain text. Adds the tables that foreign keys name to `parents`.
 * -EPERM with a sentence. */
int table_grammar_check(const char *text, size_t len, struct token_mode mode,
                        struct strlist *parents, struct err *e);
int table_grammar_check_sequence(const char *text, size_t len, struct token_mode mode,
                                 struct err *e);

/* Parts of it, for ALTER TABLE: one column or one key or constraint, from its first word up to the
 * ',' or ')' or end behind it. */
int table_grammar_column(struct syntax *s, struct strlist *parents);
int table_grammar_key(struct syntax *s, struct strlist *parents);

#endif
