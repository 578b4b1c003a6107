/* SPDX-License-Identifier: MIT */
/*
 * report: the state of this importer that eefs-status shows: RUNDIR/import-NAME.json, which
 * everybody may read (so it never holds anything of a dump's rows). A thread of its own replaces it
 * atomically on every change, twice a second while there is progress, and every 5 s otherwise.
 * Thread safe.
 */
#ifndef EEFS_SQLIMPORT_RECORD_REPORT_H
#define EEFS_SQLIMPORT_RECORD_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "sqlimport/record/outcome.h"
#include "sync/common/err.h"
#include "sync/common/opt.h"

struct report;

/* file: the dump's name when --file gave one, else NULL. */
int report_open(const char *rundir, const char *name, const char *database, const char *slot,
                const char *file, struct report **ret, struct err *e);
/* Writes state "stopped" and ends the thread. NULL is fine. */
void report_close(struct report *s);

/* state: idle, waiting_database, importing, failed. reason and action may be NULL. */
void report_set(struct report *s, const char *state, const char *reason, const char *action);
void report_set_last(struct report *s, const struct last_import *last);
void report_set_failure(struct report *s, const struct failure *f);
/* Sets the note on a topic (a literal, such as "rights"): one sentence that is worth knowing beside
 * the state; NULL removes it. */
void report_note(struct report *s, const char *topic, const char *sentence);
/* The tables, and columns as TABLE.COLUMN, that stay this server's own. True: they differ from
 * those that were set last. */
bool report_set_kept(struct report *s, const struct strlist *tables);
/* Progress of the running import, with an estimate of the time left; shown on stderr too when it is
 * a terminal. Cheap. */
void report_progress_begin(struct report *s, uint64_t bytes_total);
void report_progress_add(struct report *s, uint64_t rows, uint64_t bytes);
void report_progress_end(struct report *s);

#endif
