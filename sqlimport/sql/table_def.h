/* SPDX-License-Identifier: MIT */
/*
 * table_def: the parts of a CREATE TABLE that matter for rows: columns, primary key, engine.
 *
 * Reads what SHOW CREATE TABLE prints, and so what a dump holds. The hash covers the whole text
 * but its AUTO_INCREMENT, which changes with the rows and not with the table. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_TABLE_DEF_H
#define EEFS_SQLIMPORT_SQL_TABLE_DEF_H

#include "sqlimport/sql/token.h"
#include "sync/common/hash.h"
#include "sync/common/opt.h"

struct table_def {
    struct strlist columns;
    struct strlist key;      /* columns of the primary key; none: no usable one */
    struct strlist bound;    /* columns that are computed, or in a primary, unique or foreign key */
    char *engine;            /* "" when the text names none */
    uint64_t auto_increment; /* 0: not named */
    bool hidden;             /* has columns that an INSERT without a column list does not fill */
    struct hash hash;
};

/* Fills *ret; release it in any case. */
void table_def_read(struct table_def *ret, const char *text, size_t len, struct token_mode mode);
void table_def_release(struct table_def *s);

#endif
