/* SPDX-License-Identifier: MIT */
#include "sync/master/cli/cmd_mirror.h"

#include <errno.h>
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
#include "sync/master/db/registry.h"
#include "sync/master/db/reports.h"
#include "sync/proto/http_client.h"

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

int cmd_confirm(int argc, char **argv)
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
        return cli_fail(&e);
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
    return r < 0 ? cli_fail(&e) : 0;
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

int cmd_mirror(int argc, char **argv)
{
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};
    bool list;
    int nargs = 0;

    if (opt_argv(mirror_table, &mirror, argc, argv, &nargs, &help, &e) < 0)
        return cli_fail(&e);
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
        return cli_fail(&e);
    return mirror_run(&mirror, nargs, argv, &e) < 0 ? cli_fail(&e) : 0;
}
