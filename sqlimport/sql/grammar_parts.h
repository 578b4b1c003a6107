/* SPDX-License-Identifier: MIT */
/*
 * grammar_parts: the small parts that the grammars of tables, partitions and sequences share.
 *
 * Each steps over its part and returns true; false: the text is not that part, or it is forbidden,
 * with a sentence in s->e. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_GRAMMAR_PARTS_H
#define EEFS_SQLIMPORT_SQL_GRAMMAR_PARTS_H

#include "sqlimport/sql/syntax.h"

/* Rows may lie in a table of this engine. */
bool grammar_allows_engine(const char *name);
/* [=] name of such an engine. */
bool grammar_engine(struct syntax *s);

/* False, with a sentence. */
bool grammar_forbid(struct syntax *s, const char *what);

/* ( … ): balanced: values, columns, operators and functions of the server that only compute. */
bool grammar_expression(struct syntax *s);
/* 'text', _utf8mb4'text', x'00'. */
bool grammar_text(struct syntax *s);
bool grammar_number(struct syntax *s);
/* Behind DEFAULT and ON UPDATE: a literal, a function, or an expression in brackets. */
bool grammar_value(struct syntax *s);
/* [=] number, text or word: of an option. */
bool grammar_setting(struct syntax *s);
/* One of these words, up to NULL, and its setting. */
bool grammar_named_setting(struct syntax *s, const char *const *words);
/* `name`=value: an attribute that an engine defines. */
bool grammar_engine_attribute(struct syntax *s);
/* (`a`,`b`) */
bool grammar_columns(struct syntax *s);
/* CHARACTER SET, CHARSET or COLLATE with a name. */
bool grammar_charset(struct syntax *s);

#endif
