/* SPDX-License-Identifier: MIT */
/* fail: the end of a command of eefs-master that failed. */
#ifndef EEFS_MASTER_CLI_FAIL_H
#define EEFS_MASTER_CLI_FAIL_H

#include "sync/common/err.h"

/* Prints the error to stderr; returns the exit code, 1. */
int cli_fail(const struct err *e);

#endif
