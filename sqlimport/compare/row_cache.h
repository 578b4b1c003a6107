/* SPDX-License-Identifier: MIT */
/*
 * row_cache: keys and hashes of a table's rows in one dump, in the dump's order, in a file.
 *
 * The file is named by what it describes (the table's hash in the dump), so that one of another
 * dump is never taken for it, and a crash leaves at worst one that nobody asks for. It is a cache:
 * without it the live table is read instead.
 *
 *   "eefsrow2"; the SET statement under which the rows are to be read; the names of their values,
 *   and an empty one; the names of those that are left out of the hashes, and an empty one (texts
 *   with their length before them); per row the number of key columns
 *   (8 bits), the key (with its length), the hash; at the end 255 and the number of rows (64 bits)
 *
 * Lengths have 16 bits; all numbers are big endian.
 */
#ifndef EEFS_SQLIMPORT_COMPARE_ROW_CACHE_H
#define EEFS_SQLIMPORT_COMPARE_ROW_CACHE_H

#include "sqlimport/compare/row_diff.h"

/* One thread per writer or reader. */
struct row_cache_writer;

/* Begins a file for `hash` in folder `dir` (made when missing). NULL when it cannot be made. */
struct row_cache_writer *row_cache_create(const char *dir, const struct hash *hash,
                                          const char *settings, const struct strlist *columns,
                                          const struct strlist *left_out);
void row_cache_add(struct row_cache_writer *w, const struct row_id *id);
/* Ends it; only a whole one (keep) that was written without error stays. NULL is fine. */
void row_cache_end(struct row_cache_writer *w, bool keep);

struct row_cache_reader;

/* NULL: not there or not whole. */
struct row_cache_reader *row_cache_open(const char *dir, const struct hash *hash);
const char *row_cache_settings(const struct row_cache_reader *r);
const struct strlist *row_cache_columns(const struct row_cache_reader *r);
const struct strlist *row_cache_left_out(const struct row_cache_reader *r);
/* A row_source, without places; -EPROTO: the file is damaged. */
int row_cache_next(void *reader, struct row_id *id, struct row_place *place, struct err *e);
void row_cache_close(struct row_cache_reader *r);

/* Removes every file whose hash `wanted` does not want, and what a crash left. */
typedef bool row_cache_wanted(void *arg, const struct hash *hash);
void row_cache_sweep(const char *dir, row_cache_wanted *wanted, void *arg);

#endif
