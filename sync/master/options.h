/* SPDX-License-Identifier: MIT */
/*
 * options: what `eefs-master serve` is told by its command line and, with --config, by a file; the
 * command line wins. Read again on SIGHUP.
 */
#ifndef EEFS_MASTER_OPTIONS_H
#define EEFS_MASTER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/opt.h"
#include "sync/master/keep.h"

struct serve_options {
    char *root, *state, *listen, *rundir, *owner, *conflicts, *store, *config;
    struct strlist exclude;
    int64_t rescan_ms, max_delete, reserve, upload_space, open_ms, quiet_ms;
    bool insecure_http;
    struct keep_rules keep;
};

/* Fills *ret from `serve`'s arguments (argv[0] is skipped and left as it is). 0, or -EINVAL with
 * the sentence. *help: --help was there, nothing is checked. */
int options_parse(int argc, char **argv, struct serve_options *ret, bool *help, struct err *e);
void options_release(struct serve_options *o);
void options_help(void);

#endif
