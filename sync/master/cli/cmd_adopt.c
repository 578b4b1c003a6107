/* SPDX-License-Identifier: MIT */
#include "sync/master/cli/cmd_adopt.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/common/ctl.h"
#include "sync/common/opt.h"
#include "sync/common/printable.h"
#include "sync/master/cli/fail.h"
#include "sync/master/cli/state_dir.h"

#define WAIT_MS (12 * 3600 * 1000) /* every file may have to be read */

static struct adopt_options { /* texts live until exit */
    char *state, *rundir;
    bool dry_run;
} options;

static const struct opt table[] = {
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct adopt_options, state),
     .required = true,
     .help = "the master's state folder, as given to eefs-master serve"},
    {.type = OPT_STRING,
     .name = "rundir",
     .arg = "DIR",
     .at = offsetof(struct adopt_options, rundir),
     .without = "$EEFS_RUNDIR or /run/eefs",
     .help = "the folder of the control socket"},
    {.type = OPT_FLAG,
     .name = "dry-run",
     .at = offsetof(struct adopt_options, dry_run),
     .help = "compare only"},
    {0},
};

static const struct opt_command command = {
    .name = "eefs-master adopt",
    .about = "Makes a folder that has lost its marker (.eefs) the master's folder again, while "
             "the master runs. Prints how the folder differs from the database. What is missing in "
             "it is held until 'eefs-master confirm'.",
    .options = table,
};

static long long number(json_t *o, const char *name)
{
    return (long long)json_integer_value(json_object_get(o, name));
}

static void print(json_t *o)
{
    const char *kind, *path;
    json_t *x;
    size_t i;

    json_array_foreach(json_object_get(o, "shown"), i, x)
    {
        kind = json_string_value(json_array_get(x, 0));
        path = json_string_value(json_array_get(x, 1));
        printable_line(stdout, "%-8s %s", kind ? kind : "", path ? path : "");
    }
    printf("%lld equal, %lld changed, %lld new, %lld missing\n", number(o, "equal"),
           number(o, "changed"), number(o, "new"), number(o, "missing"));
    if (json_is_true(json_object_get(o, "marked")))
        puts("the folder has its marker; there is nothing to adopt");
    else if (options.dry_run)
        puts("dry run: nothing was changed");
    else if (number(o, "missing") > 0)
        puts(
            "the folder is adopted. The deletion of what is missing is held: bring it back, or run "
            "eefs-master confirm");
    else
        puts("the folder is adopted");
}

int cmd_adopt(int argc, char **argv)
{
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};
    char *socket = NULL;
    json_t *ask, *o = NULL;
    int nargs = 0, r;

    r = opt_argv(table, &options, argc, argv, &nargs, &help, &e);
    if (r == 0 && help) {
        opt_help(&command, help);
        return 0;
    }
    if (r == 0 && nargs > 0)
        r = err_set(&e, EINVAL, "adopt: unexpected argument '%s'", argv[0]);
    if (r == 0)
        r = opt_required(table, &options, &e);
    if (r == 0)
        r = state_dir_socket(options.state, options.rundir, &socket, &e);
    if (r == 0) {
        ask = json_pack("{s:s,s:b}", "cmd", "adopt", "dry_run", options.dry_run);
        r = ctl_call(socket, ask, WAIT_MS, &o, &e);
        json_decref(ask);
    }
    if (r == -ENOENT || r == -ECONNREFUSED)
        err_prefix(&e, "the master must run: start 'eefs-master serve' first");
    if (r == 0)
        print(o);
    json_decref(o);
    free(socket);
    return r < 0 ? cli_fail(&e) : 0;
}
