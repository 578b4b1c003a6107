/* SPDX-License-Identifier: MIT */
/*
 * eefs-sqldump: one consistent dump of each database, dropped into each mirror's slot.
 *
 *   for each --database:
 *     deliver.c    locks, makes a file to dump into
 *     mysqldump.c  runs mariadb-dump > that file
 *     dump_read.c  judges all of it, as the importer will: whole, and nothing that mirrors refuse
 *     deliver.c    puts it into every slot whose last dump was another one
 *
 * Intended for a timer or cron: silent when all is well; otherwise one sentence on stderr and a
 * nonzero exit code. When a dump fails, the earlier ones stay in their slots.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlimport/sqldump/deliver.h"
#include "sqlimport/dump/dump_read.h"
#include "sqlimport/sqldump/mysqldump.h"
#include "sync/common/buf.h"
#include "sync/common/log.h"
#include "sync/common/path.h"

/* The worst of all databases is the exit code. */
enum exits { EXIT_DONE = 0, EXIT_DUMP = 1, EXIT_BUSY = 2, EXIT_USAGE = 3 };

/* NAME, or NAME=DB,DB for a slot that takes only some of the databases. */
struct slot_arg {
    char *name;
    struct strlist databases; /* empty: all */
};

struct program {
    char *defaults_file, *slots;
    struct strlist databases, ignore;
    struct slot_arg *args;
    int n_args;
    int64_t timeout_ms;
    bool force, verbose;
};

static const struct opt table[] = {
    {.type = OPT_LIST,
     .name = "database",
     .arg = "DB",
     .at = offsetof(struct program, databases),
     .required = true,
     .help = "a database to dump; several may also be separated by commas"},
    {.type = OPT_LIST,
     .name = "databases",
     .arg = "DB,DB",
     .at = offsetof(struct program, databases),
     .help = "the same"},
    {.type = OPT_STRING,
     .name = "defaults-file",
     .arg = "FILE",
     .at = offsetof(struct program, defaults_file),
     .required = true,
     .help = "a file of client options with user, password, host or socket ([client]); others must "
             "not be able to read it"},
    {.type = OPT_STRING,
     .name = "slots",
     .arg = "DIR",
     .at = offsetof(struct program, slots),
     .required = true,
     .help = "the folder that holds the slots"},
    {.type = OPT_LIST,
     .name = "ignore-table",
     .arg = "PATTERN",
     .at = offsetof(struct program, ignore),
     .help = "tables to leave out (exp_sessions)"},
    {.type = OPT_DURATION,
     .name = "timeout",
     .arg = "TIME",
     .at = offsetof(struct program, timeout_ms),
     .def = "1h",
     .min = 1000,
     .max = 0x7fffffff,
     .help = "end a dump that takes longer"},
    {.type = OPT_FLAG,
     .name = "force",
     .at = offsetof(struct program, force),
     .help = "drop the dump into the slots even when it is unchanged"},
    {.type = OPT_FLAG,
     .name = "verbose",
     .at = offsetof(struct program, verbose),
     .help = "report the outcome for each slot"},
    {0},
};

static const struct opt_command command = {
    .name = "eefs-sqldump",
    .args = "SLOT[=DB,DB]...",
    .about = "Makes one consistent dump of each database and drops it into each mirror's slot. A "
             "slot that names databases gets only these. Silent when all is well.\n\n"
             "Exit code: 0 done, 1 a dump failed (the earlier ones stay), 2 another run is busy, "
             "3 wrong usage.",
    .options = table,
};

static bool has(const struct strlist *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], s) == 0)
            return true;
    return false;
}

/* Checks with the importer's own reader that the dump is whole and fit for mirrors; *ret: its hash.
 * */
static int check(int fd, struct hash *ret, struct err *e)
{
    static const struct hash no_secret;
    static const struct dialect any;
    struct dump_fault fault;
    struct dump *d = NULL;
    int r = dump_read(fd, &no_secret, &any, &d, &fault, e);

    if (r == 0 && d->unreadable)
        r = err_set(e, EACCES,
                    "mysqldump left out routines or events, for the account may not read all of "
                    "them: grant it the rights that the README lists");
    else if (r < 0 && fault.line)
        err_prefix(e, "mirrors would refuse the new dump");
    else if (r < 0)
        err_prefix(e, "the new dump is not whole");
    *ret = d->hash;
    dump_free(d);
    return r;
}

static int make_dump(struct program *p, struct deliver *d, const char *database, struct hash *hash,
                     struct err *e)
{
    const struct mysqldump m = {
        .defaults_file = p->defaults_file,
        .database = database,
        .ignore = &p->ignore,
        .timeout_ms = p->timeout_ms,
    };
    int r = mysqldump_run(&m, deliver_file(d), e);

    if (r == 0)
        r = deliver_finish(d, e);
    return r < 0 ? r : check(r, hash, e);
}

static int dump_one(struct program *p, const char *database)
{
    struct deliver *d = NULL;
    struct err e = {0};
    struct hash hash;
    int r = deliver_open(p->slots, database, &d, &e), rc = EXIT_DONE;

    if (r == 0)
        r = make_dump(p, d, database, &hash, &e);
    if (r < 0) {
        log_error("cannot dump '%s': %s; the earlier dumps stay", database, e.text);
        rc = r == -EBUSY ? EXIT_BUSY : EXIT_DUMP;
    }
    for (int i = 0; r >= 0 && i < p->n_args; i++) {
        const struct slot_arg *a = &p->args[i];
        int done;

        if (a->databases.n > 0 && !has(&a->databases, database))
            continue;
        done = deliver_into(d, a->name, &hash, p->force, &e);
        if (done < 0) {
            log_error("%s", e.text);
            rc = EXIT_DUMP;
        } else {
            log_info("%s: %s", a->name, done ? "a new dump" : "unchanged since the last dump");
        }
    }
    deliver_close(d);
    return rc;
}

static int dump_all(struct program *p)
{
    int worst = EXIT_DONE;

    for (size_t i = 0; i < p->databases.n; i++) {
        int rc = dump_one(p, p->databases.v[i]);
        if (worst == EXIT_DONE || rc == EXIT_DUMP)
            worst = rc;
    }
    return worst;
}

static void split_commas(const char *text, struct strlist *ret)
{
    while (*text) {
        size_t n = strcspn(text, ",");
        char *one = xstrndup(text, n);
        if (n > 0)
            strlist_add(ret, one);
        free(one);
        text += n + (text[n] == ',');
    }
}

static int check_file_name(const char *name, const char *what, struct err *e)
{
    if (path_check_name(name) < 0 || *name == '.')
        return err_set(e, EINVAL, "'%s' cannot be the name of %s: give a plain file name", name,
                       what);
    return 0;
}

static int take_slots(struct program *p, char **argv, int n, struct err *e)
{
    int r = 0;

    p->args = xcalloc((size_t)n + 1, sizeof(*p->args));
    p->n_args = n;
    for (int i = 0; i < n && r == 0; i++) {
        struct slot_arg *a = &p->args[i];
        size_t len = strcspn(argv[i], "=");

        a->name = xstrndup(argv[i], len);
        if (argv[i][len])
            split_commas(argv[i] + len + 1, &a->databases);
        r = check_file_name(a->name, "a slot", e);
        for (size_t j = 0; j < a->databases.n && r == 0; j++)
            if (!has(&p->databases, a->databases.v[j]))
                r = err_set(e, EINVAL,
                            "the slot '%s' is to get the database '%s', which no --database names",
                            a->name, a->databases.v[j]);
    }
    return r;
}

static int check_usage(struct program *p, char **argv, int nargs, struct err *e)
{
    struct strlist all = {NULL, 0};
    struct stat st;
    int r = 0;

    for (size_t i = 0; i < p->databases.n; i++)
        split_commas(p->databases.v[i], &all);
    strlist_release(&p->databases);
    p->databases = all;
    r = opt_required(table, p, e);
    if (r == 0 && nargs == 0)
        r = err_set(e, EINVAL, "name the slots to drop the dump into; see --help");
    for (size_t i = 0; i < all.n && r == 0; i++)
        r = check_file_name(all.v[i], "a database", e);
    if (r == 0)
        r = take_slots(p, argv, nargs, e);
    if (r == 0 && (access(p->defaults_file, R_OK) < 0 || stat(p->defaults_file, &st) < 0))
        r = err_sys(e, errno, "cannot read the defaults file '%s'", p->defaults_file);
    else if (r == 0 && (st.st_mode & S_IRWXO))
        r = err_set(
            e, EPERM,
            "everybody can read the defaults file '%s', which holds a password: run chmod o= on it",
            p->defaults_file);
    return r;
}

int main(int argc, char **argv)
{
    static struct program p; /* option texts live until exit */
    struct err e = {0};
    enum opt_help help = OPT_HELP_NONE;
    int nargs = 0;

    log_init("eefs-sqldump", LOG_LEVEL_WARN);
    opt_defaults(table, &p);
    if (opt_argv(table, &p, argc, argv, &nargs, &help, &e) < 0) {
        log_error("%s", e.text);
        return EXIT_USAGE;
    }
    if (help) {
        opt_help(&command, help);
        return EXIT_DONE;
    }
    if (p.verbose)
        log_init("eefs-sqldump", LOG_LEVEL_INFO);
    if (check_usage(&p, argv, nargs, &e) < 0) {
        log_error("%s", e.text);
        return EXIT_USAGE;
    }
    return dump_all(&p);
}
