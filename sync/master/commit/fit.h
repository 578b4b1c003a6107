/* SPDX-License-Identifier: MIT */
/*
 * fit: may the master answer requests and publish now? Any thread.
 */
#ifndef EEFS_MASTER_COMMIT_FIT_H
#define EEFS_MASTER_COMMIT_FIT_H

#include <stddef.h>

#include "sync/master/master.h"

/* NULL when fit to serve, else a sentence for an answer 503. `out` holds at least 512 bytes. */
const char *fit_why_not(struct master *m, char *out, size_t cap);

/* True when a damaged part of the database was found. */
bool fit_database_damaged(void);

#endif
