/* SPDX-License-Identifier: MIT */
/* state_dir: the state folder, for commands that run beside `serve` or without it. */
#ifndef EEFS_MASTER_CLI_STATE_DIR_H
#define EEFS_MASTER_CLI_STATE_DIR_H

#include <stdbool.h>

#include "sync/common/db.h"

/*
 * Opens the database in `dir`; with `make` it creates both when they are missing. Root switches to
 * the folder's owner, so that the user that serves can open the files created here.
 */
int state_dir_open(const char *dir, bool make, struct db **ret, struct err *e);
/* The control socket of the serve that uses `dir`; malloc'd. */
int state_dir_socket(const char *dir, const char *rundir, char **ret, struct err *e);

#endif
