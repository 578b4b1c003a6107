/* SPDX-License-Identifier: MIT */
/*
 * body_statements: where a statement of a body begins: only verbs on a list may stand there; and
 * the blocks that statements lie in. Results are as of body_reader.h.
 */
#ifndef EEFS_SQLIMPORT_SQL_BODY_STATEMENTS_H
#define EEFS_SQLIMPORT_SQL_BODY_STATEMENTS_H

#include "sqlimport/sql/body_reader.h"

/* Behind this a statement begins. */
void body_begin_statement(struct body *b);
/* At the first token of a statement: judges its verb, or opens or closes a block. */
int body_statement(struct body *b);
/* END and the words that belong to it. */
int body_end_block(struct body *b);
/* The innermost block. */
enum block body_top_block(const struct body *b);

#endif
