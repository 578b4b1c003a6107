/* SPDX-License-Identifier: MIT */
/*
 * plan: the list of what one import does with each table, as planner.h makes it. One thread.
 *
 * One import is one commit: either every changed table gets the rows that differ, all in one
 * transaction, or every changed table is staged and put in place by one RENAME.
 */
#ifndef EEFS_SQLIMPORT_PLAN_PLAN_H
#define EEFS_SQLIMPORT_PLAN_PLAN_H

#include "sqlimport/compare/live_rows.h"
#include "sqlimport/compare/row_diff.h"
#include "sqlimport/dump/objects.h"
#include "sqlimport/record/history.h"
#include "sync/common/buf.h"

enum action {
    ACTION_UNCHANGED,
    ACTION_KEEP,  /* on the keep-list and there already */
    ACTION_DELTA, /* only the rows that differ */
    ACTION_SWAP,  /* staged, then put in place of the live one */
    ACTION_NEW,   /* staged, then put in place; nothing is there now */
    ACTION_DROP,  /* gone from the dump, imported earlier, and configured: dropped */
    ACTION_VIEW,  /* a view in the dump, which takes its place after the commit */
};

struct step {
    const struct object *o; /* NULL for DROP and VIEW */
    const char *name;
    enum action action;
    const char *why;     /* literal, for people */
    bool live;           /* a live table of this name exists */
    bool aside;          /* it has triggers, or is a view: it cannot leave its schema */
    bool view;           /* it is a view */
    bool innodb;         /* it is an InnoDB table */
    bool same_structure; /* it is of the dump's, for sure */
    bool known;          /* past is filled */
    struct past past;
    char mark[MARK_CAP];  /* of the live table, now; see live_rows.h */
    struct hash probe;    /* the same */
    struct table_def def; /* of the dump's CREATE TABLE */
    bool has_live_def;
    struct hash live_def;
    uint64_t live_auto;   /* the live table's AUTO_INCREMENT */
    struct row_diff diff; /* of a DELTA */
    bool rows_read;       /* its old rows are the live table's, and not those of the last dump */
};

struct plan {
    const struct dump *dump;
    struct step *steps; /* tables only, in the order of the dump; those without `o` at the end */
    size_t n;
    size_t changed, deltas, swaps, drops, views; /* swaps: SWAP and NEW; changed: all of them */
    uint64_t rows, bytes;                        /* to be written */
    struct buf notes; /* columns that were to be kept and cannot be; "": none */
};

/* NULL is fine. */
void plan_free(struct plan *p);
/* Prints a table for people to stdout. */
void plan_print(const struct plan *p);

/* SWAP or NEW. */
bool step_is_swap(const struct step *st);
/* The table's step, owned by the plan; NULL: none. */
struct step *plan_find(const struct plan *p, const char *name);

#endif
