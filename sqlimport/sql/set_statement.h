/* SPDX-License-Identifier: MIT */
/*
 * set_statement: follows the SET statements of a dump without running them. One thread.
 */
#ifndef EEFS_SQLIMPORT_SQL_SET_STATEMENT_H
#define EEFS_SQLIMPORT_SQL_SET_STATEMENT_H

#include "sqlimport/sql/session_vars.h"
#include "sqlimport/sql/set_statement.h"

/* One statement: l stands behind the word SET. Changes v as a server would change its session.
 * -EPERM with a sentence: it sets something that an import does not allow, or to a value that it
 * cannot know. */
int set_statement_follow(struct session_vars *v, struct lexer *l, struct err *e);

#endif
