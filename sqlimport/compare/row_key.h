/* SPDX-License-Identifier: MIT */
/*
 * row_key: the key by which a row is found, and the hash that shows whether it changed.
 *
 * Made of the row's values in bytes, so that the same row gives the same whether it was read from a
 * dump or fetched from a live table. Pure; one thread per object.
 */
#ifndef EEFS_SQLIMPORT_COMPARE_ROW_KEY_H
#define EEFS_SQLIMPORT_COMPARE_ROW_KEY_H

#include "sqlimport/sql/values.h"
#include "sync/common/hash.h"
#include "sync/common/opt.h"

#define ROW_HASH_BYTES 16
#define ROW_KEY_MAX    16 /* columns of a primary key; InnoDB allows as many */

/*
 * `key` holds for each column of the primary key its kind (a byte), then for each its length
 * (16 bits, big endian) and bytes; two keys are equal when all behind the kinds is. Without a
 * primary key it is the hash. Belongs to who made it.
 */
struct row_id {
    const unsigned char *key;
    size_t key_len;
    size_t n_key; /* columns */
    uint8_t hash[ROW_HASH_BYTES];
};

struct row_maker;

/* For rows whose values are `columns`, in this order; key: names of some of them. Without a key
 * (NULL, or more than ROW_KEY_MAX columns) a row has its hash for one. */
struct row_maker *row_maker_new(const struct strlist *columns, const struct strlist *key);
/* Values of these columns are left out of a row's hash from here on. */
void row_maker_leave_out(struct row_maker *m, const struct strlist *columns,
                         const struct strlist *left_out);
void row_maker_free(struct row_maker *m);
/* 0, or -EPROTO: the key has a NULL, is too long or is not there. *ret is valid until the next. */
int row_maker_make(struct row_maker *m, const struct value *values, size_t n, struct row_id *ret);

/* Compares keys; like memcmp(3). */
int row_key_compare(const struct row_id *a, const struct row_id *b);
/* The order in which a server has the keys, as far as it can be known without their collation;
 * numbers by their value. */
int row_key_order(const struct row_id *a, const struct row_id *b);
/* Appends the name of the i-th of the key's columns, quoted; and the value of a key of one column.
 */
void row_key_column(struct buf *out, const struct strlist *columns, size_t i);
void row_key_value(struct buf *out, const struct row_id *id, struct token_mode mode);
/* Appends "(`a`=1 AND `b`='x')" for a key whose columns are `columns`. */
void row_key_condition(struct buf *out, const struct row_id *id, const struct strlist *columns,
                       struct token_mode mode);

#endif
