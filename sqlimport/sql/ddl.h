/* SPDX-License-Identifier: MIT */
/*
 * ddl: rewrites the text of CREATE statements. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_DDL_H
#define EEFS_SQLIMPORT_SQL_DDL_H

#include "sqlimport/sql/token.h"
#include "sync/common/buf.h"
#include "sync/common/opt.h"

/* Appends `text` with its DEFINER replaced by CURRENT_USER. */
void ddl_replace_definer(struct buf *out, const char *text, size_t len, struct token_mode mode);

/* Adds the collations that stand behind COLLATE, in lower case, each once. */
void ddl_collations(const char *text, size_t len, struct token_mode mode, struct strlist *ret);
#define DDL_HEAD_WORDS     24   /* of a CREATE: its kind and its DEFINER stand among them */
#define DDL_COLLATIONS_MAX 1000 /* no server has more; the list grows to one beyond */
void ddl_add_collation(struct strlist *l, const char *name);
/* Appends `text` with one of them replaced. */
void ddl_replace_collation(struct buf *out, const char *text, size_t len, struct token_mode mode,
                           const char *from, const char *to);

#endif
