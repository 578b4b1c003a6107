/* SPDX-License-Identifier: MIT */
#include "sync/master/cli/cmd_backup.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/opt.h"
#include "sync/common/printable.h"
#include "sync/master/cli/fail.h"
#include "sync/master/db/registry_copy.h"
#include "sync/master/db/schema.h"

static struct backup_options { /* texts live until exit */
    char *state;
} options;

static const struct opt table[] = {
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct backup_options, state),
     .required = true,
     .help = "the master's state folder, as given to eefs-master serve"},
    {0},
};

static const struct opt_command command = {
    .name = "eefs-master backup",
    .args = "DIR",
    .about =
        "Copies the master's state (its database, with the mirrors' tokens and scopes) as it is "
        "at one moment to the folder DIR, while the master runs or not. A copy that is there is "
        "replaced once the new one is complete. Copy the served folder after that, not before.",
    .options = table,
};

/* The copy as `fresh`, and what lies beside a database. */
static int copy(const char *state, const char *fresh, struct err *e)
{
    char *path = xasprintf("%s/master.db", state);
    struct db *from = NULL, *to = NULL;
    int r = access(path, R_OK) == 0
                ? 0
                : err_sys(e, errno, "cannot read '%s': is '%s' the --state of 'eefs-master serve'?",
                          path, state);

    if (r == 0)
        r = schema_open(path, DB_READ_ONLY, &from, e);
    if (r == 0 && unlink(fresh) < 0 && errno != ENOENT)
        r = err_sys(e, errno, "cannot remove '%s'", fresh);
    if (r == 0)
        r = db_backup(from, fresh, e);
    db_close(from);
    if (r == 0)
        r = schema_open(fresh, 0, &to, e);
    if (r == 0 && (r = registry_copy_save(to)) < 0)
        err_sys(e, -r, "cannot write the mirrors beside '%s'", fresh);
    db_close(to);
    free(path);
    return r;
}

static int backup(const char *state, const char *dir, struct err *e)
{
    char *fresh = xasprintf("%s/master.db.new", dir), *path = xasprintf("%s/master.db", dir);
    int r = file_mkdirs(dir, 0700);

    if (r < 0)
        err_sys(e, -r, "cannot create the folder '%s'", dir);
    else
        r = copy(state, fresh, e);
    if (r == 0 && rename(fresh, path) < 0)
        r = err_sys(e, errno, "cannot rename '%s' to '%s'", fresh, path);
    if (r == 0 && (r = file_sync_parent(path)) < 0)
        err_sys(e, -r, "cannot write to the folder '%s'", dir);
    if (r == 0)
        printable_line(stdout, "the state '%s' is copied to '%s'", state, dir);
    free(fresh);
    free(path);
    return r;
}

int cmd_backup(int argc, char **argv)
{
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};
    int nargs = 0, r;

    r = opt_argv(table, &options, argc, argv, &nargs, &help, &e);
    if (r == 0 && help) {
        opt_help(&command, help);
        return 0;
    }
    if (r == 0 && nargs != 1)
        r = err_set(&e, EINVAL, "backup: the folder for the copy is needed");
    if (r == 0)
        r = opt_required(table, &options, &e);
    if (r == 0)
        r = backup(options.state, argv[0], &e);
    return r < 0 ? cli_fail(&e) : 0;
}
