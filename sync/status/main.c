/* SPDX-License-Identifier: MIT */
/*
 * eefs-status: how things stand on this machine.
 *
 *   main.c     options, --wait, what is asked in which order, the exit code
 *   look.c     finds mounts (mountinfo), control sockets and import files, and asks them
 *   show.c     the text for people
 *
 * It never touches a mount: everything comes from /proc/self/mountinfo and the run directory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/log.h"
#include "sync/common/opt.h"
#include "sync/common/rundir.h"
#include "sync/status/look.h"
#include "sync/status/show.h"

static bool want_json, want_conflicts, want_wait;
static char *rundir;
static int64_t timeout_ms;

static const struct opt options[] = {
    {OPT_FLAG, "json", NULL, &want_json, NULL, 0, 0, "print JSON instead of text"},
    {OPT_FLAG, "conflicts", NULL, &want_conflicts, NULL, 0, 0, "list the conflicts of each mount"},
    {OPT_FLAG, "wait", NULL, &want_wait, NULL, 0, 0,
     "return when every local change is on the master"},
    {OPT_DURATION, "timeout", "DURATION", &timeout_ms, "30s", 0, 0, "longest wait of --wait"},
    {OPT_STRING, "rundir", "DIR", &rundir, NULL, 0, 0,
     "folder of the control sockets (default $EEFS_RUNDIR or /run/eefs)"},
    {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

/* Waits for one mount's changes: 0, or 1 when they are not all on the master. */
static int wait_one(json_t *mount, int64_t until)
{
    const char *socket = json_string_value(json_object_get(mount, "socket"));
    const char *point = json_string_value(json_object_get(mount, "mountpoint"));
    int64_t left = until - clock_mono_ms();
    json_t *request, *answer = NULL;
    struct err e = {0};
    int r;

    if (!socket || json_object_get(mount, "pending") == NULL) {
        log_error("'%s' does not answer", point ? point : "?");
        return 3;
    }
    left = left > 0 ? left : 0;
    request = json_pack("{s:s,s:I}", "cmd", "wait", "timeout_ms", (json_int_t)left);
    r = ctl_call(socket, request, left + 2000, &answer, &e);
    if (r < 0)
        log_error("'%s': %lld changes are not on the master: %s", point,
                  (long long)json_integer_value(json_object_get(answer, "pending")), e.text);
    json_decref(request);
    json_decref(answer);
    return r < 0 ? 1 : 0;
}

static int wait_all(json_t *all)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    int worst = 0, r;
    size_t i;
    json_t *m;

    json_array_foreach(json_object_get(all, "mounts"), i, m)
    {
        r = wait_one(m, until);
        worst = r > worst ? r : worst;
    }
    return worst;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    bool help = false;
    json_t *all;
    int nargs = 0, code;

    log_init("eefs-status", LOG_LEVEL_INFO);
    opt_defaults(options);
    if (opt_argv(options, argc, argv, &nargs, &help, &e) < 0) {
        log_error("%s", e.text);
        return 3;
    }
    if (help) {
        opt_help(options, "usage: eefs-status [OPTION…] [PATH…]\n\n"
                          "Tells how the eefs mounts, imports and masters of this machine stand;\n"
                          "with PATH… only the mounts that hold those paths.\n"
                          "Exit code: 0 fine, 1 wants attention, 2 not fit to serve, 3 unknown.\n");
        return 0;
    }
    all = look(rundir_path(rundir), argv, nargs, want_conflicts, &code);
    if (want_wait && code != 3)
        code = wait_all(all);
    else if (want_json)
        json_dumpf(all, stdout, JSON_INDENT(2)), putchar('\n');
    else
        show(all, want_conflicts);
    json_decref(all);
    return fflush(stdout) == 0 ? code : 3;
}
