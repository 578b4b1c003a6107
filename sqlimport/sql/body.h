/* SPDX-License-Identifier: MIT */
/*
 * body: judges what the body of a view, trigger, routine or event does when it runs.
 *
 * It runs with the rights of the importer's account, long after the import, so it may only read and
 * change what is in its own database: no other database, no file, no SQL that it puts together, no
 * accounts, no settings of the server. It refuses
 * everything that is not known to do only that. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_BODY_H
#define EEFS_SQLIMPORT_SQL_BODY_H

#include "sqlimport/sql/token.h"
#include "sync/common/err.h"

/*
 * Judges the plain text of a body: the query of a view, or else statements. `database` is the one
 * that it will lie in. -EPERM with half a sentence: "names another database ('x')".
 */
int body_check(const char *text, size_t len, struct token_mode mode, bool view,
               const char *database, struct err *e);

#endif
