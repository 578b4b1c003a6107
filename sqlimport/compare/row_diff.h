/* SPDX-License-Identifier: MIT */
/*
 * row_diff: the differences between two lists of rows of one table.
 *
 * Both lists are read once, side by side. Where they run in the same order, which is the case for
 * dumps and live tables in the order of the primary key, hardly anything is remembered; any order
 * is right. Gives up when there is more than `max` to remember, for then a swap is the better way.
 * One thread.
 */
#ifndef EEFS_SQLIMPORT_COMPARE_ROW_DIFF_H
#define EEFS_SQLIMPORT_COMPARE_ROW_DIFF_H

#include "sqlimport/compare/row_key.h"
#include "sync/common/err.h"

/* Where a row of the new list is found again; opaque here. */
struct row_place {
    uint32_t range;  /* which statement of the table */
    uint32_t offset; /* of "(…)" in it */
    uint32_t len;
};

/* A list of rows. 1: *id (and for the new list *place) are filled, valid until the next call;
 * 0: end; -errno. */
typedef int row_source(void *arg, struct row_id *id, struct row_place *place, struct err *e);

struct old_row {      /* to be deleted, or replaced */
    struct row_id id; /* its key belongs to the diff */
};

struct new_row { /* to be inserted */
    struct row_place place;
    uint8_t hash[ROW_HASH_BYTES];
};

struct row_diff {
    struct old_row *old_rows; /* in the order of their keys, see row_key_order() */
    size_t n_old;
    struct new_row *new_rows;
    size_t n_new;
    uint64_t inserted, updated, deleted; /* n_old = updated + deleted, n_new = updated + inserted */
    uint64_t bytes;                      /* of the new rows */
};

/* Fills *ret (release it in any case). 0; -E2BIG: more than max rows differ; or a source's -errno.
 */
int row_diff_make(struct row_diff *ret, row_source *old, void *old_arg, row_source *new,
                  void *new_arg, size_t max, struct err *e);
void row_diff_release(struct row_diff *d);

#endif
