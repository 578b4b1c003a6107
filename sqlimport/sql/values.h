/* SPDX-License-Identifier: MIT */
/*
 * values: the rows of an INSERT, each as its values in bytes, whatever way they are written:
 * 'it''s', 'it\'s' and 0x69742773 are the same. Pure; one thread per object.
 */
#ifndef EEFS_SQLIMPORT_SQL_VALUES_H
#define EEFS_SQLIMPORT_SQL_VALUES_H

#include "sqlimport/sql/token.h"
#include "sync/common/buf.h"

enum value_kind { VALUE_NULL, VALUE_NUMBER, VALUE_TEXT, VALUE_BINARY };

struct value {
    enum value_kind kind;
    const char *p; /* bytes without quotes; valid until the next row */
    size_t len;
    char form; /* how it is written in the statement; private */
};

struct values {
    const char *columns; /* "(`a`,`b`)" of the statement, or NULL */
    size_t columns_len;
    const char *row; /* the row read last: "(…)" */
    size_t row_len;
    struct value *v; /* its values */
    size_t n;
    /* private */
    const char *p, *end;
    struct token_mode mode;
    struct buf store; /* values that had to be unescaped */
    size_t cap;
};

/* The statement must stay in memory. -EPROTO: not "INSERT … VALUES (…)". */
int values_init(struct values *r, const char *text, size_t len, struct token_mode mode);
/* The same for text that is "(…),(…)" only. */
void values_init_bare(struct values *r, const char *text, size_t len, struct token_mode mode);
void values_release(struct values *r);
/* 1: the next row is there; 0: end; -EPROTO: a value of a form that mysqldump does not write. */
int values_next(struct values *r);

#endif
