/* SPDX-License-Identifier: MIT */
/* serve: the life of `eefs-master serve`: start in order, signals, root check, stop in order. */
#ifndef EEFS_MASTER_SERVE_H
#define EEFS_MASTER_SERVE_H

#include "sync/common/err.h"
#include "sync/master/options.h"

/*
 * Runs until SIGTERM or SIGINT: 0; -errno when it cannot start, or when its database is replaced.
 * SIGHUP: `argv` (serve's arguments) is parsed again, changeable settings take effect, and a scan
 * starts. SERVE_AGAIN: the folder was put back, and the program is to be started anew with the same
 * arguments. `o` is released.
 */
#define SERVE_AGAIN 1
int serve(struct serve_options *o, int argc, char **argv, struct err *e);

#endif
