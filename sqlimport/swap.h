/* SPDX-License-Identifier: MIT */
/*
 * swap: the one statement by which staged tables become the live ones, and what follows it.
 *
 * A row with a random token travels in the same RENAME: after a lost connection swap_is_done()
 * tells whether it happened.
 */
#ifndef EEFS_SQLIMPORT_SWAP_H
#define EEFS_SQLIMPORT_SWAP_H

#include "sqlimport/plan.h"

struct swap {
    const struct plan *plan;
    const char *database, *stage, *old;
    char token[33];
};

/* Writes the state row into the staging schema. */
int swap_prepare(struct swap *w, struct server *s, struct err *e);
/* One try of the RENAME with a lock wait of 1 s; -EAGAIN: a table was in use. */
int swap_try(struct swap *w, struct server *s, struct err *e);
/* 1: the RENAME with this token happened, 0: not. */
int swap_is_done(struct swap *w, struct server *s, struct err *e);
/* Drops tables that were set aside within the live database (their triggers go with them). */
int swap_clean(struct server *s, const char *database, struct err *e);

/*
 * Makes views, triggers, routines and events that differ from the last import or whose table was
 * swapped. *ret_n counts them.
 */
int swap_others(struct swap *w, struct server *s, struct history *h, int64_t *ret_n,
                struct dump_fault *fault, struct err *e);

#endif
