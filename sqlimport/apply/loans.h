/* SPDX-License-Identifier: MIT */
/*
 * loans: temporary names of constraints, while their right names are still taken by tables that a
 * RENAME sets aside or drops. The record of the RENAME keeps them (struct loan). One thread.
 */
#ifndef EEFS_SQLIMPORT_APPLY_LOANS_H
#define EEFS_SQLIMPORT_APPLY_LOANS_H

#include "sqlimport/apply/move_record.h"
#include "sqlimport/plan/plan.h"

/*
 * When all is staged: makes the staged tables' constraints fit for the live database, and adds to m
 * the loans that this takes. -EPERM, with a sentence: a table that stays has one of their names;
 * else as of server.h.
 */
int loans_prepare(const struct plan *p, const struct schemas *c, struct moves *m, struct server *s,
                  struct err *e);

/*
 * When the RENAME is done and what it set aside is dropped: gives the constraints their right
 * names. *ret_odd, when not NULL and still NULL: the first that keeps its temporary name, malloc'd.
 * -EAGAIN: a table is in use; -ENOTCONN.
 */
int loans_return(const struct schemas *c, const struct moves *m, struct server *s, char **ret_odd,
                 struct err *e);

#endif
