/* SPDX-License-Identifier: MIT */
/*
 * probe: a hash of a table's first and last row, or of those of each of its partitions. It shows
 * changes that move no time of the table (live_rows.h). One thread.
 */
#ifndef EEFS_SQLIMPORT_COMPARE_PROBE_H
#define EEFS_SQLIMPORT_COMPARE_PROBE_H

#include "sqlimport/compare/live_rows.h"

struct probe {
    const struct live_table *table;
    const struct strlist *key; /* the table's primary key, or empty */
    struct hash *ret;          /* all zeroes: the table cannot be probed so */
};

/* Probes n tables of a schema, many of them in one message to the server. Only a lost connection is
 * an error. */
int probe_tables(struct server *s, const char *schema, const struct probe *v, size_t n,
                 struct err *e);

#endif
