/* SPDX-License-Identifier: MIT */
/*
 * mysqldump: runs mariadb-dump, or mysqldump where that is not installed, for one database.
 *
 * One consistent snapshot, in a stable order and without a date, so that an unchanged database
 * gives the same bytes. The account comes from the defaults file: no secret is in an argument. The
 * program's messages go to our stderr. One thread.
 */
#ifndef EEFS_SQLIMPORT_SQLDUMP_MYSQLDUMP_H
#define EEFS_SQLIMPORT_SQLDUMP_MYSQLDUMP_H

#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/opt.h"

struct mysqldump {
    const char *defaults_file, *database;
    const struct strlist *ignore; /* patterns of tables that are left out */
    int64_t timeout_ms;           /* then it is ended */
};

/*
 * Writes the dump to `out`. -ETIMEDOUT; -ENOENT: no such program; -EIO: it failed; -EACCES: the
 * account cannot see all that belongs to a dump; others when the server cannot be asked. A result
 * of 0 does not prove that the dump is whole: read it.
 */
int mysqldump_run(const struct mysqldump *m, int out, struct err *e);

#endif
