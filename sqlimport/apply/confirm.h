/* SPDX-License-Identifier: MIT */
/*
 * confirm: between imports, checks table by table whether they are as imported.
 *
 * After a delta a visitor may have changed a table within the same second, so the table has no mark
 * and the next import would have to read it. confirm reads it before: if its rows are those of the
 * last dump, it gets a mark. From time to time it also compares every table in full whose mark
 * shows no change, for a mark cannot show every change; a table that is not as imported loses its
 * mark, so that the next dump repairs it. A table without a row cache (no primary key, not InnoDB)
 * loses its mark when its time has come, and the next import compares it. One thread, the one that
 * imports; one table at a time, and a pause of nine times as long after it.
 */
#ifndef EEFS_SQLIMPORT_APPLY_CONFIRM_H
#define EEFS_SQLIMPORT_APPLY_CONFIRM_H

#include "sqlimport/record/history.h"

#define CONFIRM_AFTER_MS  1500 /* after an import: its tables have marks then (live_rows.h) */
#define CONFIRM_PAUSE_MIN 100  /* milliseconds */
#define CONFIRM_PAUSE     9    /* times what a table took */

struct confirm {
    struct history *history;
    const char *defaults_file, *database, *row_cache_dir;
    int64_t every_ms; /* each table is compared at least so often; 0: never */
    bool due_only;    /* not those without a mark */
};

/*
 * Checks one table: one without a mark first (each once after an import), else the one that was
 * compared longest ago, when its time has come. 1: it did; 0: none is left; -errno. *ret_found is
 * set to the name (malloc'd) of a table that was not as imported though its mark showed no change,
 * and untouched otherwise. *ret_notice: as of server_clock_check(); 1 then, too.
 */
int confirm_one(const struct confirm *c, char **ret_found, char **ret_notice, struct err *e);
/* clock_wall_ns() / 1000000 at which the next table's time will have come; INT64_MAX: never. */
int64_t confirm_due_ms(const struct confirm *c);

#endif
