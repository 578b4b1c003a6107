/* SPDX-License-Identifier: MIT */
/*
 * eefs-master: serves a folder to its mirrors.
 *
 *   main.c      subcommands; options.c           serve.c    start, signals, reload, stop
 *   root.c      the folder and its marker, looked at by lookout.c; fstype.c  its filesystem;
 *               private_dir.c  .eefs or --store
 *   tree.c      the index in SQLite, timelines
 *   pool.c      read connections
 *   watch.c     inotify  ─┐
 *   index.c     what to look at, workers ─> examine.c  one look (writers.c, alike.c) ─┐
 *   committer.c the one writer: observations <───────────────────────────────────────┘ and
 *               operations; brake.c holds deletions back, publish.c makes rows, checkpoint.c
 *               keeps the database's log short
 *   space.c     room on the disks                notices.c  what status lists
 *   ops.c       keys and answers ─> apply.c  preconditions (truth.c), put.c contents, move.c
 *               renames, intent.c  notes of what they begin ─> place.c  files into the folder,
 *               owner.c, inherit.c; displace.c  what is in the way, settle.c  hashed again later,
 *               conflict.c  where losers go
 *   history.c   versions of a path, keep.c their contents, keeper.c the thread that fills that
 *               store, restore.c  back into the folder; versions.c  the commands
 *   routes.c    HTTP (connections.c bounds it) ─> feed.c pages and long polls, content.c downloads
 *               and uploads, upload.c their staging
 *   mirrors.c   names, tokens, scopes, reports   status.c   control socket
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/ctl.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/printable.h"
#include "sync/common/rundir.h"
#include "sync/master/mirrors.h"
#include "sync/master/options.h"
#include "sync/master/serve.h"
#include "sync/master/state.h"
#include "sync/master/versions.h"
#include "sync/proto/http_client.h"

#define EXIT_USAGE 1

static const char usage_main[] =
    "usage: eefs-master serve --root DIR --state DIR --listen HOST:PORT [--insecure-http]\n"
    "           [--config FILE] [--rundir DIR] [--owner USER[:GROUP]] [--exclude PATTERN]...\n"
    "           [--rescan TIME] [--max-delete N] [--reserve SIZE] [--open-limit TIME]\n"
    "           [--quiet-time TIME] [--conflicts DIR] [--store DIR]\n"
    "       eefs-master confirm --state DIR [--rundir DIR]\n"
    "       eefs-master mirror add NAME --state DIR [--read PATH]... [--write PATH]...\n"
    "           [--url URL] [--token-only]\n"
    "       eefs-master mirror set NAME --state DIR [--read PATH]... [--write PATH]...\n"
    "       eefs-master mirror list --state DIR\n"
    "       eefs-master mirror remove NAME --state DIR\n"
    "       eefs-master history PATH --state DIR [--json]\n"
    "       eefs-master restore PATH@SEQ --state DIR [--rundir DIR]\n"
    "       eefs-master --version\n"
    "\n"
    "'eefs-master serve --help' lists the options of serve; so do the other commands.\n";

static int fail(const struct err *e, int code)
{
    printable_line(stderr, "eefs-master: %s", e->text);
    return code;
}

static int cmd_serve(int argc, char **argv)
{
    struct serve_options o;
    struct err e = {0};
    bool help = false;

    if (options_parse(argc, argv, &o, &help, &e) < 0)
        return fail(&e, EXIT_USAGE);
    if (help) {
        options_help();
        options_release(&o);
        return 0;
    }
    return serve(&o, argc, argv, &e) < 0 ? fail(&e, 1) : 0;
}

static int cmd_confirm(int argc, char **argv)
{
    char *state = NULL, *rundir = NULL, *socket = NULL;
    struct err e = {0};
    const struct opt table[] = {
        {OPT_STRING, "state", "DIR", &state, NULL, 0, 0, "the master's state folder"},
        {OPT_STRING, "rundir", "DIR", &rundir, NULL, 0, 0,
         "folder of the control socket (default $EEFS_RUNDIR or /run/eefs)"},
        {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
    };
    bool help = false;
    int nargs = 0, r;
    json_t *o = NULL;

    r = opt_argv(table, argc, argv, &nargs, &help, &e);
    if (r == 0 && help) {
        opt_help(table, "eefs-master confirm --state DIR: deletions that are held are meant");
        return 0;
    }
    if (r == 0 && (nargs > 0 || !state))
        r = err_set(&e, EINVAL, "confirm: takes --state, the folder given to 'eefs-master serve'");
    if (r < 0)
        return fail(&e, EXIT_USAGE);
    r = state_socket(state, rundir, &socket, &e);
    if (r == 0) {
        json_t *ask = json_pack("{s:s}", "cmd", "confirm");
        r = ctl_call(socket, ask, 10000, &o, &e);
        json_decref(ask);
    }
    if (r == 0)
        printf("%lld deletions are confirmed\n",
               (long long)json_integer_value(json_object_get(o, "confirmed")));
    json_decref(o);
    free(socket);
    free(state);
    free(rundir);
    return r < 0 ? fail(&e, 1) : 0;
}

struct mirror_options {
    char *state, *url;
    struct strlist read, write;
    bool token_only;
};

static int mirror_add(struct db *db, struct mirror_options *o, const char *name, struct err *e)
{
    char *token = NULL;
    bool clear = false;
    int r = o->url ? http_check_url(o->url, &clear, e) : 0;

    if (r == 0)
        r = mirrors_add(db, name, &o->read, &o->write, o->url, &token, e);
    if (r < 0)
        return r;
    if (o->token_only) {
        printf("%s\n", token);
    } else {
        printf("mirror '%s' added. Its token is shown only now:\n\n  %s\n\n"
               "On the mirror, store it where only root can read it:\n\n"
               "  sudo install -m 0600 /dev/stdin /etc/eefs/token     paste the token, Enter, "
               "Ctrl-D\n\n"
               "and add this line to /etc/fstab (uid is the user of the web server and PHP):\n\n"
               "  %s /var/www/assets eefs _netdev,nofail,x-systemd.automount,allow_other,"
               "uid=www-data,token_file=/etc/eefs/token%s 0 0\n",
               name, token, o->url ? o->url : "https://MASTER.EXAMPLE/",
               clear ? ",insecure_http" : "");
        if (clear)
            printf("\nThat address is not encrypted: token and files cross the network in the "
                   "clear. Use it on a network that you trust only.\n");
        if (!o->url)
            printf("\nwith the master's address in place of https://MASTER.EXAMPLE/ "
                   "(--url puts it there).\n");
    }
    free(token);
    return 0;
}

static void add_list(struct buf *b, const struct strlist *l, const char *none)
{
    if (l->n == 0)
        buf_puts(b, none);
    for (size_t i = 0; i < l->n; i++)
        buf_printf(b, "%s%s", i ? "," : "", *l->v[i] ? l->v[i] : "/");
}

static void print_mirror(void *arg, const struct mirror *m)
{
    struct buf b = BUF_INIT;
    int64_t cloned = 0;
    char when[32];
    struct tm tm;
    time_t t;

    buf_printf(&b, "%-16s  read ", m->name);
    add_list(&b, &m->scope.read, "everything");
    buf_puts(&b, "  write ");
    add_list(&b, &m->scope.write, "nothing");
    printable_line(stdout, "%s", b.data);
    buf_release(&b);
    mirrors_cloned_at(arg, m->name, &cloned);
    t = (time_t)(cloned / 1000000000);
    if (cloned && gmtime_r(&t, &tm) && strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm))
        printf("%-16s  %s (last %s); give the copy its own with 'eefs-status --renew'\n", "",
               MIRRORS_CLONED, when);
}

static int mirror_run(struct mirror_options *o, int nargs, char **args, struct err *e)
{
    const char *verb = args[0];
    struct db *db = NULL;
    int r = state_open(o->state, true, &db, e);

    if (r < 0)
        return r;
    (void)nargs;
    if (strcmp(verb, "add") == 0)
        r = mirror_add(db, o, args[1], e);
    else if (strcmp(verb, "set") == 0)
        r = mirrors_set(db, args[1], &o->read, &o->write, e);
    else if (strcmp(verb, "remove") == 0)
        r = mirrors_remove(db, args[1], e);
    else
        r = mirrors_each(db, print_mirror, db);
    db_close(db);
    return r;
}

static int cmd_mirror(int argc, char **argv)
{
    static struct mirror_options o; /* option texts live until exit */
    struct err e = {0};
    const struct opt table[] = {
        {OPT_STRING, "state", "DIR", &o.state, NULL, 0, 0, "the master's state folder"},
        {OPT_LIST, "read", "PATH", &o.read, NULL, 0, 0,
         "what the mirror may read, / is everything; may be repeated (default: everything)"},
        {OPT_LIST, "write", "PATH", &o.write, NULL, 0, 0,
         "what it may write, / is everything; may be repeated (default: uploads and sql/NAME)"},
        {OPT_STRING, "url", "URL", &o.url, NULL, 0, 0, "the master's address, for the fstab line"},
        {OPT_FLAG, "token-only", NULL, &o.token_only, NULL, 0, 0, "print nothing but the token"},
        {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
    };
    bool help = false, list;
    int nargs = 0;

    opt_defaults(table);
    if (opt_argv(table, argc, argv, &nargs, &help, &e) < 0)
        return fail(&e, EXIT_USAGE);
    if (help) {
        opt_help(
            table,
            "eefs-master mirror add NAME | set NAME | list | remove NAME  --state DIR [options]");
        return 0;
    }
    list = nargs == 1 && strcmp(argv[0], "list") == 0;
    if (!list && !(nargs == 2 && (strcmp(argv[0], "add") == 0 || strcmp(argv[0], "set") == 0 ||
                                  strcmp(argv[0], "remove") == 0))) {
        fputs(usage_main, stderr);
        return EXIT_USAGE;
    }
    if (!o.state) {
        err_set(&e, EINVAL, "mirror: --state is missing: the folder given to 'eefs-master serve'");
        return fail(&e, EXIT_USAGE);
    }
    return mirror_run(&o, nargs, argv, &e) < 0 ? fail(&e, 1) : 0;
}

int main(int argc, char **argv)
{
    log_init("eefs-master", LOG_LEVEL_INFO);
    if (argc >= 2 && strcmp(argv[1], "serve") == 0)
        return cmd_serve(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "confirm") == 0)
        return cmd_confirm(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "mirror") == 0)
        return cmd_mirror(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "history") == 0)
        return cmd_history(argc - 1, argv + 1);
    if (argc >= 2 && strcmp(argv[1], "restore") == 0)
        return cmd_restore(argc - 1, argv + 1);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("eefs-master %s\n", EEFS_VERSION);
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage_main, stdout);
        return 0;
    }
    fputs(usage_main, stderr);
    return EXIT_USAGE;
}
