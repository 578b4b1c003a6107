/* SPDX-License-Identifier: MIT */
/*
 * eefs-master: serves a folder to its mirrors.
 *
 *   main.c      subcommands; options.c           serve.c    start, signals, reload, stop
 *   root.c      the folder and its marker, looked at by root_monitor.c; fstype.c  its filesystem;
 *               private_dir.c  .eefs or --store
 *   tree.c      the index in SQLite, timelines
 *   pool.c      read connections
 *   watch.c     inotify  ─┐
 *   scan_queue.c     what to look at, workers ─> examine.c  one look (lease.c, name_collisions.c) ─┐
 *   committer.c the one writer: observations <───────────────────────────────────────┘ and
 *               operations; delete_guard.c holds deletions back, publish.c makes rows, checkpoint.c
 *               keeps the database's log short
 *   space.c     room on the disks                notices.c  what status lists
 *   ops.c       keys and answers ─> apply.c  preconditions (current.c), put.c contents, rename.c
 *               renames, intent_log.c  notes of what they begin ─> staging.c  files into the folder,
 *               owner.c, inherit.c; replace.c  what is in the way, settle.c  hashed again later,
 *               conflict.c  where losers go; folder_renames.c  folders renamed since a path was named
 *   history.c   versions of a path, kept.c their contents, keeper.c the thread that fills that
 *               store, restore.c  back into the folder; versions.c  the commands
 *   routes.c    HTTP (connections.c bounds it) ─> feed.c pages and long polls, content.c downloads
 *               and uploads, upload.c their staging
 *   registry.c   names, tokens, scopes, reports   status.c   control socket
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
#include "sync/master/db/registry.h"
#include "sync/master/db/reports.h"
#include "sync/master/options.h"
#include "sync/master/serve.h"
#include "sync/master/cli/state_dir.h"
#include "sync/master/cli/cmd_versions.h"
#include "sync/proto/http_client.h"

#define EXIT_USAGE 1

static int fail(const struct err *e, int code)
{
    printable_line(stderr, "eefs-master: %s", e->text);
    return code;
}

static int cmd_serve(int argc, char **argv)
{
    struct serve_options o;
    struct err e = {0};
    enum opt_help help = OPT_HELP_NONE;

    if (options_parse(argc, argv, &o, &help, &e) < 0)
        return fail(&e, EXIT_USAGE);
    if (help) {
        options_help(help);
        options_release(&o);
        return 0;
    }
    return serve(&o, argc, argv, &e) < 0 ? fail(&e, 1) : 0;
}

static struct confirm_options { /* texts live until exit */
    char *state, *rundir;
} confirm;

static const struct opt confirm_table[] = {
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct confirm_options, state),
     .required = true,
     .help = "the master's state folder, as given to eefs-master serve"},
    {.type = OPT_STRING,
     .name = "rundir",
     .arg = "DIR",
     .at = offsetof(struct confirm_options, rundir),
     .without = "$EEFS_RUNDIR or /run/eefs",
     .help = "the folder of the control socket"},
    {0},
};

static const struct opt_command confirm_command = {
    .name = "eefs-master confirm",
    .about = "Confirms that the deletions held by the master are intentional.",
    .options = confirm_table,
};

static int cmd_confirm(int argc, char **argv)
{
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};
    char *socket = NULL;
    json_t *o = NULL;
    int nargs = 0, r;

    r = opt_argv(confirm_table, &confirm, argc, argv, &nargs, &help, &e);
    if (r == 0 && help) {
        opt_help(&confirm_command, help);
        return 0;
    }
    if (r == 0 && nargs > 0)
        r = err_set(&e, EINVAL, "confirm: unexpected argument '%s'", argv[0]);
    if (r == 0)
        r = opt_required(confirm_table, &confirm, &e);
    if (r < 0)
        return fail(&e, EXIT_USAGE);
    r = state_dir_socket(confirm.state, confirm.rundir, &socket, &e);
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
    return r < 0 ? fail(&e, 1) : 0;
}

static struct mirror_options { /* texts live until exit */
    char *state, *url;
    struct strlist read, write;
    bool token_only;
} mirror;

static const struct opt mirror_table[] = {
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct mirror_options, state),
     .required = true,
     .help = "the master's state folder, as given to eefs-master serve"},
    {.type = OPT_LIST,
     .name = "read",
     .arg = "PATH",
     .at = offsetof(struct mirror_options, read),
     .without = "everything except other mirrors' slots",
     .help = "with add and set: a path that the mirror may read; / is the whole folder"},
    {.type = OPT_LIST,
     .name = "write",
     .arg = "PATH",
     .at = offsetof(struct mirror_options, write),
     .without = "uploads and sql/NAME",
     .help = "with add and set: a path that the mirror may write; / is the whole folder"},
    {.type = OPT_STRING,
     .name = "url",
     .arg = "URL",
     .at = offsetof(struct mirror_options, url),
     .help = "with add: the master's address, for the line for fstab"},
    {.type = OPT_FLAG,
     .name = "token-only",
     .at = offsetof(struct mirror_options, token_only),
     .help = "with add: print nothing but the token"},
    {0},
};

static const struct opt_command mirror_command = {
    .name = "eefs-master mirror",
    .args = "add NAME | set NAME | list | remove NAME",
    .about = "Adds, changes, lists and removes mirrors. add prints the token of the mirror, once, "
             "and the line for its /etc/fstab; set gives it other scopes; the token of a mirror "
             "that is removed is refused at once. All work while the master serves.",
    .options = mirror_table,
};

static int mirror_add(struct db *db, struct mirror_options *o, const char *name, struct err *e)
{
    char *token = NULL;
    bool clear = false;
    int r = o->url ? http_check_url(o->url, &clear, e) : 0;

    if (r == 0)
        r = registry_add(db, name, &o->read, &o->write, o->url, &token, e);
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
    registry_cloned_at(arg, m->name, &cloned);
    t = (time_t)(cloned / 1000000000);
    if (cloned && gmtime_r(&t, &tm) && strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm))
        printf("%-16s  %s (last %s); give the copy its own with 'eefs-status --renew'\n", "",
               REPORTS_CLONED, when);
}

static int mirror_run(struct mirror_options *o, int nargs, char **args, struct err *e)
{
    const char *verb = args[0];
    struct db *db = NULL;
    int r = state_dir_open(o->state, true, &db, e);

    if (r < 0)
        return r;
    (void)nargs;
    if (strcmp(verb, "add") == 0)
        r = mirror_add(db, o, args[1], e);
    else if (strcmp(verb, "set") == 0)
        r = registry_set(db, args[1], &o->read, &o->write, e);
    else if (strcmp(verb, "remove") == 0)
        r = registry_remove(db, args[1], e);
    else
        r = registry_each(db, print_mirror, db);
    db_close(db);
    return r;
}

static int cmd_mirror(int argc, char **argv)
{
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};
    bool list;
    int nargs = 0;

    if (opt_argv(mirror_table, &mirror, argc, argv, &nargs, &help, &e) < 0)
        return fail(&e, EXIT_USAGE);
    if (help) {
        opt_help(&mirror_command, help);
        return 0;
    }
    list = nargs == 1 && strcmp(argv[0], "list") == 0;
    if (!list && !(nargs == 2 && (strcmp(argv[0], "add") == 0 || strcmp(argv[0], "set") == 0 ||
                                  strcmp(argv[0], "remove") == 0)))
        err_set(&e, EINVAL,
                "mirror: one of 'add NAME', 'set NAME', 'list' and 'remove NAME' is needed");
    else
        opt_required(mirror_table, &mirror, &e);
    if (e.text[0])
        return fail(&e, EXIT_USAGE);
    return mirror_run(&mirror, nargs, argv, &e) < 0 ? fail(&e, 1) : 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", cmd_serve},     {"confirm", cmd_confirm}, {"mirror", cmd_mirror},
    {"history", cmd_history}, {"restore", cmd_restore},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* The help of all commands: each is asked for its own. */
static int help_all(enum opt_help form)
{
    char usage[] = "--help=usage", markdown[] = "--help=markdown";

    if (form == OPT_HELP_TEXT)
        puts("usage:");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char *name = xstrdup(commands[i].name);
        char *argv[] = {name, form == OPT_HELP_MARKDOWN ? markdown : usage, NULL};

        if (i > 0 && form == OPT_HELP_MARKDOWN)
            putchar('\n');
        commands[i].run(2, argv);
        free(name);
    }
    if (form == OPT_HELP_TEXT)
        puts("       eefs-master --version\n\n"
             "'eefs-master COMMAND --help' explains the options of a command.");
    return 0;
}

int main(int argc, char **argv)
{
    const char *word = argc >= 2 ? argv[1] : "";
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};

    log_init("eefs-master", LOG_LEVEL_INFO);
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(word, "--version") == 0) {
        printf("eefs-master %s\n", EEFS_VERSION);
        return 0;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        help = OPT_HELP_TEXT;
    else if (strncmp(word, "--help=", 7) == 0)
        help = opt_help_form(word + 7);
    if (help)
        return help_all(help);
    if (*word)
        err_set(&e, EINVAL, "unknown command '%s'; --help lists the commands", word);
    else
        err_set(&e, EINVAL, "no command; --help lists the commands");
    return fail(&e, EXIT_USAGE);
}
