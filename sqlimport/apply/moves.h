/* SPDX-License-Identifier: MIT */
/*
 * moves: the tables that one RENAME puts in place, and the decision what to do when it may have
 * been interrupted. Pure.
 *
 * A table's new rows lie in the staging schema, its old ones at its `place`: the same name in the
 * schema for old tables, or another name within the live database for what cannot leave it. The
 * places were empty before. The tables' places now prove what happened:
 *
 *     live staged placed |
 *      x     x      -    | not begun
 *      -     x      x    | between: only a server that renames one after the other leaves this
 *      x     -      x    | done, if the live table is proved to be the staged one
 *
 * Somebody else made any other state meanwhile. moves_decide() finds the way on which no table is
 * missing that could be there, and no live table is moved or replaced whose replacement is not in
 * hand.
 */
#ifndef EEFS_SQLIMPORT_APPLY_MOVES_H
#define EEFS_SQLIMPORT_APPLY_MOVES_H

#include <stdbool.h>
#include <stddef.h>

#include "sync/common/hash.h"

enum move_kind {
    MOVE_REPLACE, /* a live table by a staged one */
    MOVE_NEW,     /* a staged table, where no live one was */
    MOVE_DROP,    /* a live table, by nothing */
    MOVE_VIEW,    /* a live table by a view, which is staged beside it: no view leaves its schema */
};

enum moves_where { WHERE_LIVE, WHERE_STAGE, WHERE_PLACE };

struct move {
    enum move_kind kind;
    char *name;
    char *schema, *place; /* where the live table is set aside; NULL for NEW */
    struct hash columns;  /* of the staged table: what proves that it is this one; none for DROP */
    /* Where tables lie now that can be read. */
    bool live, staged, placed;
    bool proved; /* the live one has the staged one's columns */
    /* By enum moves_where: the remains of a table take the name; the server died while it renamed
     * that table. Nothing can be read there. */
    bool torn[3];
};

/* A constraint that got a temporary name, for another table keeps the right one until it goes. */
struct loan {
    char *table, *temporary, *name;
    char *drop;   /* "FOREIGN KEY" or "CHECK": what it is called in ALTER TABLE … DROP */
    char *clause; /* all behind its name */
};

struct moves {
    char token[33]; /* of the commit */
    struct move *v;
    size_t n;
    struct loan *loans;
    size_t n_loans;
};

/* Copies what it is given; place may be NULL. */
struct move *moves_add(struct moves *m, enum move_kind kind, const char *name, const char *schema,
                       const char *place);
void moves_add_loan(struct moves *m, const struct loan *l);
void moves_release(struct moves *m);

enum verdict {
    VERDICT_NOTHING, /* none was moved */
    VERDICT_DONE,    /* all are */
    VERDICT_FORWARD, /* bring it to its end */
    VERDICT_BACK,    /* take it back */
    VERDICT_FILL,    /* neither is possible for all: put in place what is missing, from either */
    VERDICT_REFUSE,  /* none is missing, and a person must say which is right */
};

/*
 * committed: the commit's own marker shows that all was done. stuck: the server refuses to bring it
 * to its end. For VERDICT_REFUSE *ret_i is the table that a person must look at. FORWARD, BACK and
 * FILL name moves, after which the caller looks and decides again.
 */
enum verdict moves_decide(const struct moves *m, bool committed, bool stuck, size_t *ret_i);

/* The renames of a verdict, in an order in which every name is free when something comes to it, or
 * torn. */
typedef void moves_fn(void *arg, const struct move *v, enum moves_where from, enum moves_where to);
void moves_each(const struct moves *m, enum verdict verdict, moves_fn *fn, void *arg);

#endif
