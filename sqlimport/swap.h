/* SPDX-License-Identifier: MIT */
/*
 * swap: the one statement by which staged tables become the live ones, and what follows it.
 *
 * What it will rename is written down first, in the staging schema. Servers before MariaDB 10.6
 * and MySQL 8 may crash in the middle of it; swap_recover() then finds out and does the rest.
 */
#ifndef EEFS_SQLIMPORT_SWAP_H
#define EEFS_SQLIMPORT_SWAP_H

#include "sqlimport/commit.h"
#include "sqlimport/plan.h"

struct swap {
    const struct plan *plan;
    const char *database, *stage, *old;
    const struct commit *commit;
};

/* Writes down what will be renamed, and the commit's table. */
int swap_prepare(const struct swap *w, struct server *s, struct err *e);
/* One try of the RENAME; -EAGAIN: a table was in use; -ENOTCONN: the outcome
 * is unknown, see commit_is_done(). */
int swap_try(const struct swap *w, struct server *s, struct err *e);
/* Before anything else of an import: ends a RENAME that a crash left half done. 1: it did. */
int swap_recover(const char *stage, struct server *s, struct err *e);
/* Drops what was set aside within the live database (triggers go with their tables). */
int swap_clean(struct server *s, const char *database, struct err *e);

#endif
