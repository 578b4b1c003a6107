/* SPDX-License-Identifier: MIT */
/*
 * eefs-status: how things stand on this machine.
 *
 *   main.c     options, what is asked in which order, the exit code
 *   look.c     finds mounts (mountinfo), control sockets and import files, and asks them
 *   show.c     the text for people
 *   act.c      --wait, --retry, --discard, --forget: asks mounts to do something
 *
 * It never touches a mount: everything comes from /proc/self/mountinfo and the run directory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/log.h"
#include "sync/common/opt.h"
#include "sync/common/rundir.h"
#include "sync/status/act.h"
#include "sync/status/look.h"
#include "sync/status/show.h"

static bool want_json, want_conflicts, want_quarantine;
static bool do_wait, do_retry, do_discard, do_forget, do_renew, do_salvage;
static char *rundir, *into;
static int64_t timeout_ms;

static const struct opt options[] = {
    {OPT_FLAG, "json", NULL, &want_json, NULL, 0, 0, "print JSON instead of text"},
    {OPT_FLAG, "conflicts", NULL, &want_conflicts, NULL, 0, 0, "list the conflicts of each mount"},
    {OPT_FLAG, "quarantine", NULL, &want_quarantine, NULL, 0, 0,
     "list the changes that the master refused"},
    {OPT_FLAG, "wait", NULL, &do_wait, NULL, 0, 0,
     "return when every local change (at or under PATH…) is on the master"},
    {OPT_DURATION, "timeout", "DURATION", &timeout_ms, "30s", 0, 0, "longest wait of --wait"},
    {OPT_FLAG, "retry", NULL, &do_retry, NULL, 0, 0,
     "send the refused changes (at or under PATH…) once more"},
    {OPT_FLAG, "discard", NULL, &do_discard, NULL, 0, 0,
     "drop the refused changes at or under PATH… and what depends on them"},
    {OPT_FLAG, "forget", NULL, &do_forget, NULL, 0, 0,
     "take the conflicts at or under PATH… off the list; files stay as they are"},
    {OPT_FLAG, "renew", NULL, &do_renew, NULL, 0, 0,
     "give the mount at PATH, whose cache was copied from another machine, an identity of its own"},
    {OPT_FLAG, "salvage", NULL, &do_salvage, NULL, 0, 0,
     "list contents written here that only the cache still has (after replica.db was lost)"},
    {OPT_STRING, "into", "DIR", &into, NULL, 0, 0, "with --salvage: copy them into DIR"},
    {OPT_STRING, "rundir", "DIR", &rundir, NULL, 0, 0,
     "folder of the control sockets (default $EEFS_RUNDIR or /run/eefs)"},
    {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

/* The one thing to be done, NULL: only look. -EINVAL when it is not clear. */
static int what_to_do(int nargs, const char **ret, struct err *e)
{
    const struct {
        bool wanted, needs_path;
        const char *cmd;
    } all[] = {{do_wait, false, "wait"},      {do_retry, false, "retry"},
               {do_discard, true, "discard"}, {do_forget, true, "forget"},
               {do_renew, true, "renew"},     {do_salvage, false, "salvage"}};
    int n = want_conflicts + want_quarantine;

    *ret = NULL;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!all[i].wanted)
            continue;
        *ret = all[i].cmd;
        if (++n == 1 && all[i].needs_path && nargs == 0)
            return err_set(e, EINVAL,
                           "--%s: name the paths; the mountpoint stands for everything in it",
                           all[i].cmd);
    }
    if (n > 1)
        return err_set(e, EINVAL,
                       "--conflicts, --quarantine, --wait, --retry, --discard, --forget, "
                       "--renew and --salvage do not go together");
    if (into && !do_salvage)
        return err_set(e, EINVAL, "--into goes with --salvage");
    return 0;
}

/* Makes a path absolute and takes "." and ".." out, without touching what it names: a mount that
 * hangs must not hang us. malloc'd. */
static char *absolute(const char *path)
{
    char *cwd = *path == '/' ? NULL : get_current_dir_name();
    char *whole = xasprintf("%s/%s", cwd ? cwd : "", path), *save = NULL;
    struct buf out = BUF_INIT;

    buf_puts(&out, "");
    for (char *c = strtok_r(whole, "/", &save); c; c = strtok_r(NULL, "/", &save)) {
        if (strcmp(c, ".") == 0)
            continue;
        if (strcmp(c, "..") == 0) {
            while (out.len > 0 && out.data[--out.len] != '/')
                ;
            out.data[out.len] = '\0';
        } else {
            buf_printf(&out, "/%s", c);
        }
    }
    if (out.len == 0)
        buf_puts(&out, "/");
    free(whole);
    free(cwd);
    return buf_detach(&out);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    bool help = false;
    const char *cmd = NULL;
    json_t *all;
    int nargs = 0, code, i;

    log_init("eefs-status", LOG_LEVEL_INFO);
    opt_defaults(options);
    if (opt_argv(options, argc, argv, &nargs, &help, &e) < 0 || what_to_do(nargs, &cmd, &e) < 0) {
        log_error("%s", e.text);
        return 3;
    }
    if (help) {
        opt_help(options,
                 "usage: eefs-status [OPTION…] [PATH…]\n\n"
                 "Reports how the eefs mounts, imports and masters of this machine stand;\n"
                 "with PATH… only the mounts that hold those paths.\n"
                 "Conflicts and refused changes stay on their lists until somebody has\n"
                 "seen to them.\n"
                 "Exit code: 0 fine, 1 wants attention, 2 not fit to serve, 3 unknown.\n");
        return 0;
    }
    for (i = 0; i < nargs; i++)
        argv[i] = absolute(argv[i]);
    all = look(rundir_path(rundir), argv, nargs,
               want_conflicts    ? "conflicts"
               : want_quarantine ? "quarantine"
                                 : NULL,
               &code);
    if (cmd && json_array_size(json_object_get(all, "mounts")) == 0) {
        log_error("nothing of eefs is mounted%s", nargs ? " there" : "");
        code = 3;
    } else if (cmd) {
        code = act(all, cmd, argv, nargs, timeout_ms, into);
    } else if (want_json) {
        json_dumpf(all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII), putchar('\n');
    } else {
        show(all);
    }
    for (i = 0; i < nargs; i++)
        free(argv[i]);
    json_decref(all);
    return fflush(stdout) == 0 ? code : 3;
}
