/* SPDX-License-Identifier: MIT */
/*
 * options: the command line of mount.eefs, as mount(8) calls it, and its option table.
 *
 *     mount.eefs SPEC DIR [-sfnv] [-t TYPE] [-o name=value,…]
 *
 * Options that the kernel enforces go to it (kernel_flags.h). Options that mount(8) passes on and
 * that mean nothing to eefs are accepted and ignored: nofail, _netdev, user, x-…, comment=… and the
 * like.
 */
#ifndef EEFS_FS_MOUNT_OPTIONS_H
#define EEFS_FS_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/mount/kernel_flags.h"
#include "sync/common/err.h"
#include "sync/common/opt.h"

struct options {
    char *spec;  /* the master's URL */
    char *point; /* as given */
    bool fake, sloppy, verbose, version;
    enum opt_help help;

    char *token_file, *cafile, *cache, *offline, *instance, *rundir, *prefetch;
    char *uid, *gid;    /* names or numbers; NULL: see attr_rules_owner() */
    int64_t cache_size; /* bytes */
    int64_t lag_limit;  /* ms */
    int64_t isolated_grace, import_age, check_every; /* ms */
    char *check_url, *check_text, *monitor;          /* or NULL */
    int64_t umask;
    struct strlist private, on_change;
    char *on_change_user;
    bool allow_other, read_only, foreground, insecure_http, bg, fg;
    struct kernel_flags flags; /* ro is in both */
    bool remount;              /* change an existing mount */
    char *given;               /* all -o lists, joined */
    bool kernel;               /* unused: what the kernel enforces is in `flags` */
    int64_t retry;             /* minutes, -1: not given */
};

/* Fills *ret (strings live until exit). -EINVAL with a sentence. Not thread safe (getopt). */
int options_parse(int argc, char **argv, struct options *ret, struct err *e);

/* Applies one -o list to *o; with `sloppy` unknown names are dropped. */
int options_list(struct options *o, const char *list, bool sloppy, struct err *e);

/* Another set of options with the values of `from`, but no lists; to be released. */
void options_copy(struct options *to, const struct options *from);
void options_release(struct options *o);

void options_help(enum opt_help form); /* to stdout */

#endif
