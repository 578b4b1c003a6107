/* SPDX-License-Identifier: MIT */
/*
 * eefs-status: the state of eefs on this machine.
 *
 *   main.c     options, what is asked in which order, the exit code
 *   look.c     finds mounts (mountinfo), control sockets and import files, and asks them
 *   fstab.c    lines of fstab that are not mounted
 *   show.c     the text for people (human.c: sizes and times)
 *   nagios.c   --nagios; --prometheus is sync/proto/metrics.c
 *   act.c      --wait, --retry, --discard, --forget: asks mounts to do something
 *
 * It never touches a mount: everything comes from /proc/self/mountinfo and the run directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/opt.h"
#include "sync/common/rundir.h"
#include "sync/proto/metrics.h"
#include "sync/status/act.h"
#include "sync/status/look.h"
#include "sync/status/nagios.h"
#include "sync/status/show.h"

static struct options {
    bool json, nagios, prometheus, conflicts, quarantine;
    bool wait, retry, discard, forget, renew, salvage;
    char *rundir, *into;
    char *output;
    int64_t timeout_ms, watch_ms, warn_ms, crit_ms;
} o;

static const struct opt table[] = {
    {.type = OPT_FLAG,
     .name = "json",
     .at = offsetof(struct options, json),
     .help = "print JSON instead of text"},
    {.type = OPT_FLAG,
     .name = "prometheus",
     .at = offsetof(struct options, prometheus),
     .help = "print the metrics in the text format of Prometheus"},
    {.type = OPT_STRING,
     .name = "output",
     .arg = "FILE",
     .at = offsetof(struct options, output),
     .help = "with --json or --prometheus: replace FILE as a whole instead of printing, as the "
             "textfile collector of node_exporter needs it"},
    {.type = OPT_FLAG,
     .name = "nagios",
     .at = offsetof(struct options, nagios),
     .help = "print one line with performance data for Nagios or Icinga"},
    {.type = OPT_DURATION,
     .name = "warning",
     .letter = 'w',
     .arg = "TIME",
     .at = offsetof(struct options, warn_ms),
     .help = "with --nagios: the lag from which it is a WARNING"},
    {.type = OPT_DURATION,
     .name = "critical",
     .letter = 'c',
     .arg = "TIME",
     .at = offsetof(struct options, crit_ms),
     .help = "with --nagios: the lag from which it is CRITICAL"},
    {.type = OPT_DURATION,
     .name = "watch",
     .arg = "TIME",
     .bare = "2s",
     .min = 100,
     .max = 86400000,
     .at = offsetof(struct options, watch_ms),
     .help = "show the text again every TIME (2 seconds when it is not given), in place on a "
             "terminal, until it is interrupted"},
    {.type = OPT_FLAG,
     .name = "conflicts",
     .at = offsetof(struct options, conflicts),
     .help = "list the conflicts of each mount"},
    {.type = OPT_FLAG,
     .name = "quarantine",
     .at = offsetof(struct options, quarantine),
     .help = "list the changes that the master refused"},
    {.type = OPT_FLAG,
     .name = "wait",
     .at = offsetof(struct options, wait),
     .help = "return when every local change (at or under PATH) is on the master"},
    {.type = OPT_DURATION,
     .name = "timeout",
     .arg = "TIME",
     .at = offsetof(struct options, timeout_ms),
     .def = "30s",
     .help = "the longest time that --wait waits"},
    {.type = OPT_FLAG,
     .name = "retry",
     .at = offsetof(struct options, retry),
     .help = "send the refused changes (at or under PATH) once more"},
    {.type = OPT_FLAG,
     .name = "discard",
     .at = offsetof(struct options, discard),
     .help = "drop the refused changes at or under PATH and those that depend on them"},
    {.type = OPT_FLAG,
     .name = "forget",
     .at = offsetof(struct options, forget),
     .help = "take the conflicts at or under PATH off the list; files stay as they are"},
    {.type = OPT_FLAG,
     .name = "renew",
     .at = offsetof(struct options, renew),
     .help = "give the mount at PATH an identity of its own, after its cache was copied from "
             "another machine"},
    {.type = OPT_FLAG,
     .name = "salvage",
     .at = offsetof(struct options, salvage),
     .help = "list contents that were written on this mirror and exist only in its cache (after "
             "replica.db was lost)"},
    {.type = OPT_STRING,
     .name = "into",
     .arg = "DIR",
     .at = offsetof(struct options, into),
     .help = "with --salvage: copy these contents into DIR"},
    {.type = OPT_STRING,
     .name = "rundir",
     .arg = "DIR",
     .at = offsetof(struct options, rundir),
     .without = "$EEFS_RUNDIR or /run/eefs",
     .help = "the folder of the control sockets"},
    {0},
};

static const struct opt_command command = {
    .name = "eefs-status",
    .args = "[PATH]...",
    .about = "Reports the state of the eefs mounts, imports and masters of this machine; with "
             "PATH, only of the mounts that hold these paths, and how each path stands. Conflicts "
             "and refused changes stay "
             "on their lists until somebody resolves them.\n\nExit code: 0 fine, 1 needs "
             "attention, 2 not fit to serve, 3 unknown.",
    .options = table,
};

/* The one thing to be done, NULL: only look. -EINVAL when it is not clear. */
static int what_to_do(int nargs, const char **ret, struct err *e)
{
    const struct {
        bool wanted, needs_path;
        const char *cmd;
    } all[] = {{o.wait, false, "wait"},      {o.retry, false, "retry"},
               {o.discard, true, "discard"}, {o.forget, true, "forget"},
               {o.renew, true, "renew"},     {o.salvage, false, "salvage"}};
    int n = o.conflicts + o.quarantine;

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
                       "--conflicts, --quarantine, --wait, --retry, --discard, --forget, --renew "
                       "and --salvage cannot be combined");
    if (o.into && !o.salvage)
        return err_set(e, EINVAL, "--into needs --salvage");
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

/* -EINVAL when the output is not clear. */
static int check_output(bool acts, struct err *e)
{
    int forms = o.json + o.nagios + o.prometheus + (o.watch_ms > 0);

    if (forms > 1 || (acts && forms > 0))
        return err_set(e, EINVAL,
                       "--json, --nagios, --prometheus, --watch and requests such as --wait cannot "
                       "be combined");
    if (o.output && !o.json && !o.prometheus)
        return err_set(e, EINVAL, "--output needs --json or --prometheus");
    if ((o.warn_ms || o.crit_ms) && !o.nagios)
        return err_set(e, EINVAL, "--warning and --critical need --nagios");
    return 0;
}

/* JSON or metrics to stdout or into the file. 0, or 3 when that cannot be written. */
static int print_data(json_t *all)
{
    struct buf b = BUF_INIT;
    int r = 0;

    if (o.prometheus) {
        metrics_text(all, &b);
    } else {
        char *text = json_dumps(all, JSON_INDENT(2) | JSON_ENSURE_ASCII);

        buf_printf(&b, "%s\n", text ? text : "{}");
        free(text);
    }
    if (o.output)
        r = file_replace(AT_FDCWD, o.output, b.data ? b.data : "", b.len, 0644, false);
    else if (b.len > 0)
        fwrite(b.data, 1, b.len, stdout);
    if (r < 0)
        log_error("cannot write '%s': %s", o.output, strerror(-r));
    buf_release(&b);
    return r < 0 ? 3 : 0;
}

static json_t *look_once(char *const *paths, int n, int *code)
{
    return look(rundir_path(o.rundir), paths, n,
                o.conflicts    ? "conflicts"
                : o.quarantine ? "quarantine"
                               : NULL,
                code);
}

/* Each line is cleared to its end, and below the last one everything (ECMA-48: EL, ED). */
static void show_in_place(json_t *all)
{
    char *text = NULL, *save = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return;
    show(all, f, show_wants_colour());
    fclose(f);
    fputs("\033[H", stdout);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        printf("%s\033[K\n", line);
    fputs("\033[J", stdout);
    free(text);
}

/* Until stdout cannot be written any more, or a signal comes. */
static int watch(char *const *paths, int n)
{
    const struct timespec pause = {o.watch_ms / 1000, o.watch_ms % 1000 * 1000000};
    bool in_place = isatty(STDOUT_FILENO), first = true;

    for (int code;; first = false) {
        json_t *all = look_once(paths, n, &code);

        if (in_place) {
            fputs(first ? "\033[2J" : "", stdout);
            show_in_place(all);
        } else {
            fputs(first ? "" : "\n", stdout);
            show(all, stdout, false);
        }
        json_decref(all);
        if (fflush(stdout) != 0)
            return code;
        nanosleep(&pause, NULL);
    }
}

static int run(const char *cmd, char *const *paths, int n)
{
    int code, written = 0;
    json_t *all;

    if (o.watch_ms > 0)
        return watch(paths, n);
    all = look_once(paths, n, &code);
    if (cmd && json_array_size(json_object_get(all, "mounts")) == 0) {
        log_error("eefs is not mounted%s", n ? " there" : "");
        code = 3;
    } else if (cmd) {
        code = act(all, cmd, paths, n, o.timeout_ms, o.into);
    } else if (o.json || o.prometheus) {
        written = print_data(all);
    } else if (o.nagios) {
        code = nagios(all, code, o.warn_ms, o.crit_ms, stdout);
    } else {
        show(all, stdout, show_wants_colour());
    }
    json_decref(all);
    return written ? written : code;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    enum opt_help help = OPT_HELP_NONE;
    const char *cmd = NULL;
    int nargs = 0, code, i;

    log_init("eefs-status", LOG_LEVEL_INFO);
    opt_defaults(table, &o);
    if (opt_argv(table, &o, argc, argv, &nargs, &help, &e) < 0 || what_to_do(nargs, &cmd, &e) < 0 ||
        check_output(cmd != NULL, &e) < 0) {
        log_error("%s", e.text);
        return 3;
    }
    if (help) {
        opt_help(&command, help);
        return 0;
    }
    for (i = 0; i < nargs; i++)
        argv[i] = absolute(argv[i]);
    code = run(cmd, argv, nargs);
    for (i = 0; i < nargs; i++)
        free(argv[i]);
    return fflush(stdout) == 0 ? code : 3;
}
