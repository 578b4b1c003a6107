/* SPDX-License-Identifier: MIT */
/*
 * plan: what one import does with each table, from the dump, the live database and the history.
 *
 * Tables that foreign keys connect are swapped together. One thread.
 */
#ifndef EEFS_SQLIMPORT_PLAN_H
#define EEFS_SQLIMPORT_PLAN_H

#include "sqlimport/dump.h"
#include "sqlimport/history.h"
#include "sqlimport/server.h"

enum action {
    ACTION_UNCHANGED,
    ACTION_KEEP, /* on the keep-list and there already */
    ACTION_SWAP, /* staged, then put in place of the live one */
    ACTION_NEW,  /* staged, then put in place; nothing is there now */
};

struct step {
    struct object *o;
    enum action action;
    const char *why; /* literal, for people */
    bool live;       /* a live table of this name exists */
    bool triggers;   /* the live table has triggers */
    char mark[160];  /* creation, update and server start time of the live table; see history */
};

struct plan {
    const struct dump *dump;
    struct step *steps; /* tables only, in the order of the dump */
    size_t n;
    size_t changed;       /* SWAP and NEW */
    uint64_t rows, bytes; /* of these */
};

/* -EPERM: the plan is impossible (a kept or unknown table hangs on a changed one). */
int plan_make(const struct dump *d, struct server *s, struct history *h, const char *database,
              const struct strlist *keep, struct plan **ret, struct err *e);
void plan_free(struct plan *p);
/* Prints a table for people to stdout. */
void plan_print(const struct plan *p);

/* Reads the marks of tables in `schema` into p's steps; `only_changed` leaves the others. The
 * second result is true when a change in the same second as now could hide behind a mark. */
int plan_marks(struct plan *p, struct server *s, const char *schema, bool only_changed,
               bool *ret_racy, struct err *e);

/* True when the name matches a pattern of the keep-list. */
bool plan_keeps(const struct strlist *keep, const char *name);

#endif
