/* SPDX-License-Identifier: MIT */
#include "sync/master/cli/cmd_recover.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/common/buf.h"
#include "sync/common/ctl.h"
#include "sync/common/opt.h"
#include "sync/common/printable.h"
#include "sync/master/cli/fail.h"
#include "sync/master/cli/state_dir.h"

#define CONNECT_MS 10000
#define LINE_MS    (12 * 3600 * 1000) /* the next content may be large */

static struct recover_options { /* texts live until exit */
    char *state, *rundir, *from;
    bool dry_run, discard, deletions;
} options;

static const struct opt table[] = {
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct recover_options, state),
     .required = true,
     .help = "the master's state folder, as given to eefs-master serve"},
    {.type = OPT_STRING,
     .name = "rundir",
     .arg = "DIR",
     .at = offsetof(struct recover_options, rundir),
     .without = "$EEFS_RUNDIR or /run/eefs",
     .help = "the folder of the control socket"},
    {.type = OPT_STRING,
     .name = "from",
     .arg = "NAME",
     .at = offsetof(struct recover_options, from),
     .without = "all mirrors",
     .help = "only what this mirror has reported"},
    {.type = OPT_FLAG,
     .name = "dry-run",
     .at = offsetof(struct recover_options, dry_run),
     .help = "list only"},
    {.type = OPT_FLAG,
     .name = "discard",
     .at = offsetof(struct recover_options, discard),
     .help = "let the listed changes go: the mirrors keep them no longer"},
    {.type = OPT_FLAG,
     .name = "deletions",
     .at = offsetof(struct recover_options, deletions),
     .help = "also delete what was deleted, or renamed, in the lost time"},
    {0},
};

static const struct opt_command command = {
    .name = "eefs-master recover",
    .about = "After the master, its database or its folder was put back to an earlier state: lists "
             "the changes that are lost by that and that mirrors still have, and brings them back, "
             "while the master runs. Other content is never replaced: there, what was lost becomes "
             "a conflict copy.",
    .options = table,
};

static const char *text_of(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static void print(json_t *o)
{
    json_t *names = json_object_get(o, "mirrors"), *x;
    time_t t = (time_t)(json_integer_value(json_object_get(o, "mtime")) / 1000000000);
    struct buf b = BUF_INIT;
    char when[32] = "";
    struct tm tm;
    size_t i;

    if (*text_of(o, "target"))
        buf_printf(&b, "-> %s  ", text_of(o, "target"));
    json_array_foreach(names, i, x) buf_printf(&b, "%s%s", i ? "," : "", json_string_value(x));
    if (*text_of(o, "maker"))
        buf_printf(&b, " (made by %s)", text_of(o, "maker"));
    if (json_is_true(json_object_get(o, "held")))
        buf_puts(&b, "(held: missing in the folder)");
    if (!json_is_true(json_object_get(o, "here")))
        buf_puts(&b, "; no mirror has the content");
    if (json_is_true(json_object_get(o, "outside")))
        buf_puts(&b, "; outside the write scope");
    if (*text_of(o, "why"))
        buf_printf(&b, "; %s", text_of(o, "why"));
    if (gmtime_r(&t, &tm))
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
    printable_line(stdout, "%-9s %-7s %12lld  %s  %s  %s", text_of(o, "result"), text_of(o, "kind"),
                   (long long)json_integer_value(json_object_get(o, "size")), when,
                   text_of(o, "path"), b.data ? b.data : "");
    buf_release(&b);
}

/* Prints the lines up to the last one. */
static int receive(struct ctl *c, int64_t *n, int64_t *left, struct err *e)
{
    bool more = true;
    json_t *o;
    int r = 0;

    while (more && (r = ctl_recv(c, LINE_MS, &o, e)) == 0) {
        more = !json_object_get(o, "ok");
        if (more) {
            print(o);
            fflush(stdout);
            ++*n;
            *left += strcmp(text_of(o, "result"), "left") == 0;
        } else if (!json_is_true(json_object_get(o, "ok"))) {
            r = err_set(e, EREMOTEIO, "%s", text_of(o, "error"));
        }
        json_decref(o);
    }
    return r;
}

static int run(const char *socket, struct err *e)
{
    json_t *ask = json_pack("{s:s,s:b,s:b,s:b}", "cmd", "recover", "dry_run", options.dry_run,
                            "discard", options.discard, "deletions", options.deletions);
    int64_t n = 0, left = 0;
    struct ctl *c = NULL;
    int r = ctl_connect(socket, CONNECT_MS, &c, e);

    if (options.from)
        json_object_set_new(ask, "from", json_string(options.from));
    if (r == 0)
        r = ctl_send(c, ask, CONNECT_MS, e);
    if (r == 0)
        r = receive(c, &n, &left, e);
    ctl_close(c);
    json_decref(ask);
    if (r == 0 && n == 0)
        puts("nothing was lost, as far as the mirrors have reported");
    else if (r == 0)
        printf("%lld changes, %lld left\n", (long long)n, (long long)(options.dry_run ? n : left));
    return r;
}

int cmd_recover(int argc, char **argv)
{
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};
    char *socket = NULL;
    int nargs = 0, r;

    r = opt_argv(table, &options, argc, argv, &nargs, &help, &e);
    if (r == 0 && help) {
        opt_help(&command, help);
        return 0;
    }
    if (r == 0 && nargs > 0)
        r = err_set(&e, EINVAL, "recover: unexpected argument '%s'", argv[0]);
    if (r == 0 && options.discard && options.deletions)
        r = err_set(&e, EINVAL, "recover: --discard and --deletions exclude each other");
    if (r == 0)
        r = opt_required(table, &options, &e);
    if (r == 0)
        r = state_dir_socket(options.state, options.rundir, &socket, &e);
    if (r == 0)
        r = run(socket, &e);
    if (r == -ENOENT || r == -ECONNREFUSED)
        err_prefix(&e, "the master must run: start 'eefs-master serve' first");
    free(socket);
    return r < 0 ? cli_fail(&e) : 0;
}
