/* SPDX-License-Identifier: MIT */
/* serve: the life of `eefs-master serve`: start in order, signals, root check, stop in order. */
#ifndef EEFS_MASTER_SERVE_H
#define EEFS_MASTER_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/opt.h"
#include "sync/master/keep.h"

struct serve_options {
    char *root, *state, *listen, *rundir, *owner, *conflicts;
    struct strlist exclude;
    int64_t rescan_ms;
    bool insecure_http;
    struct keep_rules keep;
};

/* Runs until SIGTERM or SIGINT (SIGHUP starts a scan): 0; -errno when it cannot start. */
int serve(const struct serve_options *o, struct err *e);

#endif
