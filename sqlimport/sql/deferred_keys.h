/* SPDX-License-Identifier: MIT */
/*
 * deferred_keys: a CREATE TABLE cut in two, so that a table's plain keys are made after its rows.
 *
 * The server then sorts each key once instead of looking up a place in it for every row. Both
 * together make what the whole statement makes. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_DEFERRED_KEYS_H
#define EEFS_SQLIMPORT_SQL_DEFERRED_KEYS_H

#include <stdbool.h>

#include "sqlimport/sql/token.h"
#include "sync/common/buf.h"

/*
 * Appends the statement without its plain keys to `create`, and an ALTER TABLE that adds them to
 * `alter`. False, and nothing that could be used in either, when there are none or the table must
 * be made whole: not InnoDB, no primary key, foreign or spatial keys, partitions, generated
 * columns, an AUTO_INCREMENT that needs one of the keys, versioned comments, or anything else that
 * is not known here for sure.
 */
bool deferred_keys_cut(const char *text, size_t len, struct token_mode mode, struct buf *create,
                       struct buf *alter);

#endif
