/* SPDX-License-Identifier: MIT */
#include "sync/master/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

static const struct opt table[] = {
    {.type = OPT_STRING,
     .name = "root",
     .arg = "DIR",
     .at = offsetof(struct serve_options, root),
     .required = true,
     .help = "the folder to serve"},
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct serve_options, state),
     .required = true,
     .help = "the folder of the database; outside of the served folder"},
    {.type = OPT_STRING,
     .name = "listen",
     .arg = "HOST:PORT",
     .at = offsetof(struct serve_options, listen),
     .required = true,
     .help = "the address to listen on"},
    {.type = OPT_FLAG,
     .name = "insecure-http",
     .at = offsetof(struct serve_options, insecure_http),
     .help = "allow an address that is not loopback: tokens and files then cross the network "
             "unencrypted"},
    {.type = OPT_STRING,
     .name = "rundir",
     .arg = "DIR",
     .at = offsetof(struct serve_options, rundir),
     .without = "$EEFS_RUNDIR or /run/eefs",
     .help = "the folder of the control socket"},
    {.type = OPT_STRING,
     .name = "owner",
     .arg = "USER[:GROUP]",
     .at = offsetof(struct serve_options, owner),
     .without = "the owner of the file that is replaced or of the folder it is put into, as far as "
                "the user that serves may set it",
     .reload = true,
     .help = "the owner of all that mirrors write; needs root, or CAP_CHOWN and CAP_FOWNER"},
    {.type = OPT_STRING,
     .name = "conflicts",
     .arg = "DIR",
     .at = offsetof(struct serve_options, conflicts),
     .without = "beside the file",
     .help = "the folder for the losing versions of conflicts"},
    {.type = OPT_STRING,
     .name = "store",
     .arg = "DIR",
     .at = offsetof(struct serve_options, store),
     .without = ".eefs in the served folder",
     .help = "the folder for earlier versions and unfinished uploads; on the same filesystem, out "
             "of reach of the web server"},
    {.type = OPT_STRING,
     .name = "config",
     .arg = "FILE",
     .at = offsetof(struct serve_options, config),
     .help = "a file with more of these options, one 'name = value' per line; the command line "
             "takes precedence"},
    {.type = OPT_LIST,
     .name = "exclude",
     .arg = "PATTERN",
     .at = offsetof(struct serve_options, exclude),
     .reload = true,
     .help = "a name or path that is not shared"},
    {.type = OPT_DURATION,
     .name = "rescan",
     .arg = "TIME",
     .at = offsetof(struct serve_options, rescan_ms),
     .def = "15min",
     .reload = true,
     .help = "the interval between scans of the whole folder; 0 turns them off"},
    {.type = OPT_INT,
     .name = "max-delete",
     .arg = "N",
     .at = offsetof(struct serve_options, max_delete),
     .def = "500",
     .reload = true,
     .help = "when more files than this, and more than 20 %, are deleted within a minute, the "
             "deletions are held"},
    {.type = OPT_SIZE,
     .name = "reserve",
     .arg = "SIZE",
     .at = offsetof(struct serve_options, reserve),
     .def = "64M",
     .reload = true,
     .help = "refuse changes of mirrors when less than this is free on the disk"},
    {.type = OPT_SIZE,
     .name = "upload-space",
     .arg = "SIZE",
     .at = offsetof(struct serve_options, upload_space),
     .def = "10G",
     .min = 1,
     .max = INT64_MAX,
     .reload = true,
     .help = "the most space that uploads of one mirror may take before an operation names them"},
    {.type = OPT_DURATION,
     .name = "open-limit",
     .arg = "TIME",
     .at = offsetof(struct serve_options, open_ms),
     .def = "10min",
     .reload = true,
     .help =
         "report DEGRADED when a writer holds a file open for longer than this; 0 turns this off"},
    {.type = OPT_DURATION,
     .name = "quiet-time",
     .arg = "TIME",
     .at = offsetof(struct serve_options, quiet_ms),
     .def = "5s",
     .reload = true,
     .help = "where writers cannot be detected (NFS, CIFS, FUSE; without CAP_LEASE also files of "
             "other owners), publish a file when it has not changed for this long"},
    {.type = OPT_SIZE,
     .name = "keep-space",
     .arg = "SIZE",
     .at = offsetof(struct serve_options, keep.space),
     .def = "2G",
     .help = "the most disk space that earlier versions may take; 0 keeps none"},
    {.type = OPT_DURATION,
     .name = "keep-age",
     .arg = "TIME",
     .at = offsetof(struct serve_options, keep.age_ms),
     .def = "30d",
     .help = "the age at which an earlier version is dropped"},
    {.type = OPT_SIZE,
     .name = "keep-file",
     .arg = "SIZE",
     .at = offsetof(struct serve_options, keep.file),
     .def = "64M",
     .help = "the largest file whose versions are kept"},
    {.type = OPT_INT,
     .name = "keep-versions",
     .arg = "N",
     .at = offsetof(struct serve_options, keep.versions),
     .def = "20",
     .help = "the number of earlier versions kept of one path"},
    {.type = OPT_LIST,
     .name = "keep-except",
     .arg = "PATTERN",
     .at = offsetof(struct serve_options, keep.except),
     .help = "a name or path whose versions are not kept"},
    {0},
};

static const struct opt_command command = {
    .name = "eefs-master serve",
    .about = "Serves a folder to its mirrors until SIGTERM. SIGHUP reloads the options and scans "
             "the folder.",
    .options = table,
};

void options_help(enum opt_help form)
{
    opt_help(&command, form);
}

static int parse_argv(struct serve_options *o, int argc, char **argv, enum opt_help *help,
                      struct err *e)
{
    char **copy = xcalloc((size_t)argc + 1, sizeof(*copy)); /* opt_argv() moves what is no option */
    int nargs = 0, r;

    memcpy(copy, argv, (size_t)argc * sizeof(*copy));
    r = opt_argv(table, o, argc, copy, &nargs, help, e);
    if (r == 0 && nargs > 0 && !*help)
        r = err_set(e, EINVAL, "serve: unexpected argument '%s'", copy[0]);
    free(copy);
    return r;
}

int options_parse(int argc, char **argv, struct serve_options *ret, enum opt_help *help,
                  struct err *e)
{
    struct serve_options first = {0}, o = {0};
    int r = parse_argv(&first, argc, argv, help, e);

    if (r == 0 && !*help) {
        opt_defaults(table, &o);
        if (first.config)
            r = opt_file(table, &o, first.config, e);
        if (r == 0)
            r = parse_argv(&o, argc, argv, help, e);
    }
    if (r == 0 && !*help) {
        r = opt_required(table, &o, e);
        if (r < 0)
            err_prefix(e, "serve");
    }
    options_release(&first);
    if (r < 0)
        options_release(&o);
    else
        *ret = o;
    return r;
}

void options_release(struct serve_options *o)
{
    free(o->root);
    free(o->state);
    free(o->listen);
    free(o->rundir);
    free(o->owner);
    free(o->config);
    free(o->conflicts);
    free(o->store);
    strlist_release(&o->exclude);
    strlist_release(&o->keep.except);
    memset(o, 0, sizeof(*o));
}
