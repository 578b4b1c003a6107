/* SPDX-License-Identifier: MIT */
/*
 * options: the options of `eefs-master serve`, from its command line and, with --config, from a
 * file; the command line takes precedence. Reloaded on SIGHUP.
 */
#ifndef EEFS_MASTER_OPTIONS_H
#define EEFS_MASTER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/opt.h"
#include "sync/master/folder/kept.h"

struct serve_options {
    char *root, *state, *listen, *rundir, *owner, *conflicts, *store, *config;
    struct strlist exclude;
    int64_t rescan_ms, max_delete, reserve, upload_space, open_ms, quiet_ms;
    bool insecure_http;
    struct kept_rules keep;
};

/* Fills *ret from `serve`'s arguments (argv[0] is skipped and left as it is). 0, or -EINVAL with
 * the sentence. When *help is set nothing else is checked. */
int options_parse(int argc, char **argv, struct serve_options *ret, enum opt_help *help,
                  struct err *e);
void options_release(struct serve_options *o);
/* Prints the help of serve to stdout. */
void options_help(enum opt_help form);

#endif
