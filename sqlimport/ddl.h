/* SPDX-License-Identifier: MIT */
/*
 * ddl: checks and rewrites the text of CREATE statements. Pure.
 */
#ifndef EEFS_SQLIMPORT_DDL_H
#define EEFS_SQLIMPORT_DDL_H

#include "sqlimport/token.h"
#include "sync/common/buf.h"
#include "sync/common/err.h"
#include "sync/common/opt.h"

/*
 * Appends `text` with every DEFINER replaced by CURRENT_USER, and collations that this program
 * knows to be missing on the server (`map_collations`) replaced by their nearest relative.
 */
void ddl_rewrite(struct buf *out, const char *text, size_t len, struct token_mode mode,
                 bool map_collations);

/*
 * Checks a CREATE TABLE: engine on the list, no DATA DIRECTORY, CONNECTION, SELECT, no other
 * database. Adds the tables that its foreign keys name to `parents`. -EPERM with a sentence.
 */
int ddl_check_table(const char *text, size_t len, struct token_mode mode, struct strlist *parents,
                    struct err *e);

#endif
