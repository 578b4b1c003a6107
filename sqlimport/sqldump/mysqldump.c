/* SPDX-License-Identifier: MIT */
/*
 *     ask the server (rights, tables to leave out) ─> fork ─> exec mariadb-dump, else mysqldump ─> wait
 *
 * mysqldump leaves out what the account may not see, and does not fail; so the rights are checked
 * first.
 */
#include "sqlimport/sqldump/mysqldump.h"

#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sqlimport/server/server.h"
#include "sync/common/buf.h"
#include "sync/common/subprocess.h"

static const char *const options[] = {
    "--single-transaction",
    "--quick",
    "--skip-lock-tables",
    "--skip-dump-date",
    "--comments",
    "--order-by-primary",
    "--hex-blob",
    "--triggers",
    "--routines",
    "--events",
    "--opt",
    "--max-allowed-packet=1G",
    "--no-tablespaces",
    "--default-character-set=utf8mb4",
};

/* Of MySQL's program only; MariaDB's under that name passes over them. */
static const char *const of_mysql[] = {
    "--loose-set-gtid-purged=OFF",
    "--loose-column-statistics=0",
};

/* Reads the account's grants: may it see triggers, and MySQL 8's routines? Roles may hold anything.
 */
static int read_grants(struct server *s, bool *triggers, bool *routines, struct err *e)
{
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_query(s, &res, e, "SHOW GRANTS");

    while (r == 0 && (row = mysql_fetch_row(res))) {
        bool all = strstr(row[0], "ALL PRIVILEGES") || !strstr(row[0], " ON ");
        *triggers |= all || strstr(row[0], "TRIGGER");
        *routines |= all || strstr(row[0], "SHOW_ROUTINE") ||
                     (strstr(row[0], "SELECT") && strstr(row[0], " ON *.*"));
    }
    if (res)
        mysql_free_result(res);
    return r;
}

/* mysqldump silently leaves out what the account may not see. */
static int check_privileges(struct server *s, struct err *e)
{
    bool mysql8 = mysql_get_server_version(s->my) >= 80000 &&
                  !strstr(mysql_get_server_info(s->my), "MariaDB");
    bool triggers = false, routines = false;
    int r = read_grants(s, &triggers, &routines, e);

    if (r < 0)
        return r;
    if (!mysql8)
        routines = server_runf(s, NULL, "SELECT 1 FROM mysql.proc LIMIT 0") != -EACCES;
    if (!triggers || !routines)
        return err_set(
            e, EACCES,
            "the account cannot see all %s, and mysqldump would leave them out: GRANT %s to it",
            triggers ? "stored routines" : "triggers",
            !triggers ? "TRIGGER on the database"
            : mysql8  ? "SHOW_ROUTINE ON *.*"
                      : "SELECT ON mysql.proc");
    return 0;
}

/* Adds --ignore-table for every table that a pattern matches. */
static int add_ignored(const struct mysqldump *m, struct server *s, struct strlist *argv,
                       struct err *e)
{
    char *text = server_text(m->database);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_query(
        s, &res, e, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s", text);

    while (r == 0 && (row = mysql_fetch_row(res))) {
        for (size_t i = 0; i < m->ignore->n; i++) {
            if (fnmatch(m->ignore->v[i], row[0], 0) == 0) {
                char *arg = xasprintf("--ignore-table=%s.%s", m->database, row[0]);
                strlist_add(argv, arg);
                free(arg);
                break;
            }
        }
    }
    if (res)
        mysql_free_result(res);
    free(text);
    return r;
}

/* Asks the server for rights, and for the tables to leave out. */
static int prepare(const struct mysqldump *m, struct strlist *argv, struct err *e)
{
    struct server *s = NULL;
    int r = server_open(m->defaults_file, &s, e);

    if (r == 0)
        r = check_privileges(s, e);
    if (r == 0 && m->ignore->n > 0)
        r = add_ignored(m, s, argv, e);
    server_close(s);
    return r;
}

/* NULL-terminated; the strings belong to `args`. */
static char **arguments(const struct strlist *args, const char *program, bool mysql)
{
    size_t extra = sizeof(of_mysql) / sizeof(*of_mysql), n = 0;
    char **argv = xcalloc(args->n + extra + 4, sizeof(*argv));

    argv[n++] = xstrdup(program);
    argv[n++] = args->v[0]; /* --defaults-file must come first */
    for (size_t i = 0; mysql && i < extra; i++)
        argv[n++] = xstrdup(of_mysql[i]);
    for (size_t i = 1; i < args->n; i++)
        argv[n++] = args->v[i];
    return argv;
}

static pid_t start(const struct strlist *args, int out)
{
    char **mariadb = arguments(args, "mariadb-dump", false);
    char **mysql = arguments(args, "mysqldump", true);
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent || dup2(out, STDOUT_FILENO) < 0)
            _exit(126);
        execvp(mariadb[0], mariadb);
        execvp(mysql[0], mysql);
        _exit(127);
    }
    free(mariadb[0]);
    free(mariadb);
    for (size_t i = 0; i < sizeof(of_mysql) / sizeof(*of_mysql); i++)
        free(mysql[2 + i]);
    free(mysql[0]);
    free(mysql);
    return pid;
}

#define CANNOT_WRITE 5 /* its EX_EOF, in all versions */

static int judge(int status, struct err *e)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(e, ENOENT, "neither mariadb-dump nor mysqldump is installed");
    if (WIFSIGNALED(status))
        return err_set(e, EIO, "signal %d ended mariadb-dump", WTERMSIG(status));
    if (status != 0)
        return err_set(e, EIO, "mariadb-dump failed (exit code %d); see its message above%s",
                       WEXITSTATUS(status),
                       WEXITSTATUS(status) == CANNOT_WRITE ? "; is the disk full?" : "");
    return 0;
}

static int run(const struct strlist *args, int out, int64_t timeout_ms, struct err *e)
{
    pid_t pid = start(args, out);
    int status = 0;

    if (pid < 0)
        return err_sys(e, errno, "cannot start mariadb-dump");
    if (subprocess_wait(pid, timeout_ms, false, NULL, &status) == 0)
        return judge(status, e);
    return err_set(e, ETIMEDOUT, "mariadb-dump took longer than %lld s (--timeout) and was ended",
                   (long long)(timeout_ms / 1000));
}

int mysqldump_run(const struct mysqldump *m, int out, struct err *e)
{
    char *defaults = xasprintf("--defaults-file=%s", m->defaults_file);
    struct strlist args = {NULL, 0};
    int r;

    strlist_add(&args, defaults);
    free(defaults);
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
        strlist_add(&args, options[i]);
    r = prepare(m, &args, e);
    strlist_add(&args, "--");
    strlist_add(&args, m->database);
    if (r == 0)
        r = run(&args, out, m->timeout_ms, e);
    strlist_release(&args);
    return r;
}
