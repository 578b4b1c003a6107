/* SPDX-License-Identifier: MIT */
/*
 * hook: the command that is run after an import that changed something (--after), say to clear a
 * cache. Which tables are still to be told is kept in the history, so that none is forgotten when
 * the importer is killed between an import and its command. One thread.
 *
 * The command runs by /bin/sh with, in its environment, EEFS_DATABASE and EEFS_TABLES: the changed
 * tables, one a line, or "*" when there are too many for an environment.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_HOOK_H
#define EEFS_SQLIMPORT_IMPORTER_HOOK_H

#include "sqlimport/record/history.h"

struct hook {
    const char *command, *database;
    int64_t timeout_ms;
    const volatile int *stop;
};

/* Runs it when tables are to be told. 0: done or nothing to do; a command that fails or takes too
 * long: -EIO, -ETIMEDOUT with a sentence, and is not run again for these tables. -EINTR: stopped,
 * and told later. */
int hook_run(const struct hook *k, struct history *h, struct err *e);

#endif
