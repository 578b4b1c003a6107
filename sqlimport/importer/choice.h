/* SPDX-License-Identifier: MIT */
/*
 * choice: which of the files in a slot is the dump to import, when no --file names it. One thread.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_CHOICE_H
#define EEFS_SQLIMPORT_IMPORTER_CHOICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "sync/common/err.h"

struct choice {
    /* Set by the owner, whose strings they are. */
    const char *dir, *rundir; /* the slot; where other importers' reports lie */
    const char *name;         /* of this importer, as in its report */
    const char *database;
    const char *last; /* name of the dump imported last; "" when there was none */
    bool once;        /* a person asked for it: take any single dump, and at once */
    /* Private; zero at first. */
    struct stat young; /* a dump of an unknown name, and since when it has been unchanged */
    int64_t since_ms;
};

/* ".sql", ".sql.gz", ".sql.zst", NULL. */
extern const char *const choice_endings[];

/* 1: *ret is the name (malloc'd) of the dump in the folder `dir`; 0: there is none, or not yet;
 * -EEXIST: several, or an unexpected one, with a sentence that names them; -errno. */
int choice_find(struct choice *c, int dir, char **ret, struct err *e);

#endif
