/* SPDX-License-Identifier: MIT */
/*
 * stored_grammar: the grammar of CREATE VIEW, TRIGGER, FUNCTION, PROCEDURE and EVENT up to their
 * bodies.
 *
 * It refuses all that is not in it; body.h judges the body. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_STORED_GRAMMAR_H
#define EEFS_SQLIMPORT_SQL_STORED_GRAMMAR_H

#include "sqlimport/sql/object_kind.h"
#include "sqlimport/sql/syntax.h"

/*
 * Reads plain text from CREATE on, without OR REPLACE and IF NOT EXISTS. *ret_body is where the
 * body begins in it; *ret_table (malloc'd) a trigger's table, else NULL; *ret_definer (malloc'd)
 * the account that it names, or NULL. -EPERM with a sentence.
 */
int stored_grammar_read(enum object_kind kind, const char *text, size_t len, struct token_mode mode,
                        size_t *ret_body, char **ret_table, char **ret_definer, struct err *e);

#endif
