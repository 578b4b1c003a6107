/* SPDX-License-Identifier: MIT */
/*
 * import: one dump from its first byte to the live database. One thread drives it.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_IMPORT_H
#define EEFS_SQLIMPORT_IMPORTER_IMPORT_H

#include "sqlimport/record/history.h"
#include "sqlimport/plan/keep_rules.h"
#include "sqlimport/importer/witness.h"

struct import_args {
    const char *database, *defaults_file;
    const char *row_cache_dir;        /* folder for row hashes */
    const char *file;                 /* the dump's name, noted with the import */
    const struct strlist *allow_body; /* names of views and the like whose bodies are not judged */
    struct keep_rules *keep;
    int connections;
    bool dry_run, drop_missing;
    bool accept_unmarked; /* a dump without a mark at its end */
    int64_t drop_limit;   /* see plan.h */
    struct report *report;
    struct history *history;
    const volatile int *stop;     /* nonzero: give up with -EINTR */
    const struct hash *known_bad; /* a dump that failed before and is not to be tried, or NULL */
    struct witness *witness;      /* or NULL; taken before the dump is read */
};

/*
 * Imports the dump in fd. 0: done (or, with dry_run, printed); *last is filled and recorded.
 *
 *   -ENOTCONN, -EAGAIN, -ENOSPC, -EACCES, -EINTR, -ESTALE   not now: try again
 *   -ENXIO            try again when there is a database of that name
 *   -ENOTRECOVERABLE  try again when a person has looked (recover.h)
 *   -EALREADY         the dump is known_bad
 *   anything else     this dump fails until it changes; *f (hash, place, server's error) is filled
 *
 * The live database is untouched unless 0 is returned or *f says that only views and the like are
 * missing.
 */
int import_run(const struct import_args *a, int fd, struct last_import *last, struct failure *f,
               struct err *e);

/* Settles what an interrupted import left (recover.h), without a dump. Returns as import_run. */
int import_recover(const struct import_args *a, struct err *e);

#endif
