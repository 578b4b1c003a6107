/* SPDX-License-Identifier: MIT */
/*
 * stage: fills the changed tables into the staging schema, on several connections, each with a
 * thread of its own, the largest table first. Called by one thread.
 */
#ifndef EEFS_SQLIMPORT_APPLY_STAGE_H
#define EEFS_SQLIMPORT_APPLY_STAGE_H

#include "sqlimport/dump/fault.h"
#include "sqlimport/plan/plan.h"
#include "sqlimport/server/disk_space.h"
#include "sqlimport/record/report.h"

struct stage_args {
    const struct plan *plan;
    const char *defaults_file, *schema;
    const char *row_cache_dir;
    int fd; /* the dump */
    int connections;
    const struct disk_space *disk_space;
    struct report *report;    /* progress */
    const volatile int *stop; /* nonzero: give up with -EINTR */
};

/* Creates the schema when it is missing. */
int stage_make(struct server *s, const char *schema, struct err *e);
/* Drops every table in it but the importer's own. -EAGAIN as long as there is a record
 * (move_record.h). */
int stage_empty(struct server *s, const char *schema, struct err *e);

/* Fills the tables. On failure *fault names table, line and offset, and *code is the server's error
 * number. -ESTALE: the dump's bytes are not those that were judged; -ENOSPC: the disk gets full;
 * -EINTR: stopped. */
int stage_run(const struct stage_args *a, struct dump_fault *fault, unsigned *code, struct err *e);

#endif
