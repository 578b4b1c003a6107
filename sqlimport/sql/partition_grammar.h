/* SPDX-License-Identifier: MIT */
/*
 * partition_grammar: the PARTITION BY of a table. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_PARTITION_GRAMMAR_H
#define EEFS_SQLIMPORT_SQL_PARTITION_GRAMMAR_H

#include "sqlimport/sql/syntax.h"

/* Steps over PARTITION BY … up to the end of the statement; true at that end already. False as of
 * grammar_parts.h. */
bool partition_grammar_read(struct syntax *s);

#endif
