/* SPDX-License-Identifier: MIT */
/*
 * eefs-sqldump: one consistent dump of a database, dropped into each mirror's slot.
 *
 *   lock ── mariadb-dump > hidden file in --slots ── check its end ── into every slot whose last
 * dump was another one: hard link (else copy) under a hidden name, then rename
 *
 * Meant for a timer: silent when all is well, one sentence and a nonzero exit code when not.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sqlimport/server.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/hash.h"
#include "sync/common/log.h"
#include "sync/common/opt.h"
#include "sync/common/path.h"

enum exits { EXIT_DUMP = 1, EXIT_BUSY = 2, EXIT_USAGE = 3 };

struct program {
    char *database, *defaults_file, *slots;
    struct strlist ignore;
    int slots_fd;
    bool force;
};

/* Adds --ignore-table for every table that a pattern matches. */
static int add_ignored(struct program *p, struct strlist *argv, struct err *e)
{
    struct server *s = NULL;
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    char *text;
    int r;

    if (p->ignore.n == 0)
        return 0;
    r = server_open(p->defaults_file, &s, e);
    if (r < 0)
        return r;
    text = server_text(p->database);
    r = server_query(
        s, &res, e, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s", text);
    while (r == 0 && (row = mysql_fetch_row(res))) {
        for (size_t i = 0; i < p->ignore.n; i++) {
            if (fnmatch(p->ignore.v[i], row[0], 0) == 0) {
                char *arg = xasprintf("--ignore-table=%s.%s", p->database, row[0]);
                strlist_add(argv, arg);
                free(arg);
                break;
            }
        }
    }
    if (res)
        mysql_free_result(res);
    free(text);
    server_close(s);
    return r;
}

static void add_arguments(struct program *p, struct strlist *argv)
{
    static const char *const fixed[] = {
        "--single-transaction", "--quick",
        "--skip-dump-date",     "--order-by-primary",
        "--hex-blob",           "--triggers",
        "--routines",           "--events",
        "--skip-lock-tables",   "--default-character-set=utf8mb4",
    };
    char *defaults = xasprintf("--defaults-file=%s", p->defaults_file);

    strlist_add(argv, "mariadb-dump");
    strlist_add(argv, defaults); /* must come first */
    free(defaults);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
        strlist_add(argv, fixed[i]);
}

static int run_dump(struct strlist *args, int out, struct err *e)
{
    char **argv = xcalloc(args->n + 1, sizeof(*argv));
    int status = 0;
    pid_t pid;

    memcpy(argv, args->v, args->n * sizeof(*argv));
    pid = fork();
    if (pid == 0) {
        if (dup2(out, STDOUT_FILENO) < 0)
            _exit(126);
        execvp("mariadb-dump", argv);
        execvp("mysqldump", argv);
        _exit(127);
    }
    free(argv);
    if (pid < 0)
        return err_sys(e, errno, "cannot start mariadb-dump");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(e, ENOENT, "neither mariadb-dump nor mysqldump is installed");
    if (status != 0)
        return err_set(e, EIO,
                       "mariadb-dump failed (%s %d), see its message above; the former "
                       "dumps stay",
                       WIFEXITED(status) ? "exit" : "signal",
                       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return 0;
}

/* The dump must say itself that it is whole. */
static int check_end(int fd, struct err *e)
{
    char tail[256];
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)sizeof(tail) ? size - (off_t)sizeof(tail) : 0;
    ssize_t n = file_pread(fd, tail, sizeof(tail), from);

    if (n < 0)
        return err_sys(e, (int)-n, "cannot read the new dump");
    if (!memmem(tail, (size_t)n, "\n-- Dump completed", 18))
        return err_set(e, EIO,
                       "the new dump lacks '-- Dump completed' at its end (disk full?); "
                       "the former dumps stay");
    return 0;
}

/* What was dropped last is remembered beside the slots, for the importer removes the dumps. */
static char *memory_name(const char *database, const char *slot)
{
    return xasprintf(".eefs-sqldump.%s.%s.last", database, slot);
}

static bool dropped_before(struct program *p, const char *slot, const char *hash)
{
    char *name = memory_name(p->database, slot);
    struct buf b = BUF_INIT;
    bool same = file_slurp(p->slots_fd, name, 4096, &b) == 0 && b.len >= HASH_TEXT_LEN &&
                strncmp(b.data, hash, HASH_TEXT_LEN) == 0;

    buf_release(&b);
    free(name);
    return same;
}

static int copy_into(struct program *p, const char *from, int dir, const char *temp)
{
    int in, out, r;

    in = openat(p->slots_fd, from, O_RDONLY | O_CLOEXEC);
    out = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    r = in < 0 || out < 0 ? -errno : file_copy(in, out);
    if (r == 0 && fsync(out) < 0)
        r = -errno;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return r;
}

static int drop(struct program *p, const char *slot, const char *from, const char *hash,
                struct err *e)
{
    char *temp = xasprintf(".%s.sql.%ld.tmp", p->database, (long)getpid());
    char *final = xasprintf("%s.sql", p->database), *memory = memory_name(p->database, slot);
    int dir, r = 0;

    if (mkdirat(p->slots_fd, slot, 0700) == 0)
        log_info("made the slot '%s/%s', readable by this user only", p->slots, slot);
    dir = openat(p->slots_fd, slot, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0) {
        r = err_sys(e, errno, "cannot open the slot '%s/%s'", p->slots, slot);
        goto out;
    }
    (void)unlinkat(dir, temp, 0);
    if (linkat(p->slots_fd, from, dir, temp, 0) < 0)
        r = copy_into(p, from, dir, temp);
    if (r == 0 && renameat(dir, temp, dir, final) < 0)
        r = -errno;
    if (r == 0)
        r = file_sync_dir(dir);
    if (r < 0) {
        (void)unlinkat(dir, temp, 0);
        err_sys(e, -r, "cannot drop the dump into the slot '%s/%s'", p->slots, slot);
    } else {
        (void)file_replace(p->slots_fd, memory, hash, HASH_TEXT_LEN, 0600, false);
    }
out:
    if (dir >= 0)
        close(dir);
    free(temp);
    free(final);
    free(memory);
    return r;
}

static int make_dump(struct program *p, int fd, char *ret_hash, struct err *e)
{
    struct strlist args = {0};
    struct hash h;
    int r;

    add_arguments(p, &args);
    r = add_ignored(p, &args, e);
    strlist_add(&args, "--");
    strlist_add(&args, p->database);
    if (r == 0)
        r = run_dump(&args, fd, e);
    if (r == 0)
        r = check_end(fd, e);
    if (r == 0 && fsync(fd) < 0)
        r = err_sys(e, errno, "cannot write the new dump");
    if (r == 0 && (r = hash_fd(fd, &h, NULL)) < 0)
        err_sys(e, -r, "cannot read the new dump");
    if (r == 0)
        hash_text(&h, ret_hash);
    strlist_release(&args);
    return r;
}

static int lock_out_others(struct program *p, struct err *e)
{
    char *name = xasprintf(".eefs-sqldump.%s.lock", p->database);
    int fd = openat(p->slots_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int r = 0;

    if (fd < 0)
        r = err_sys(e, errno, "cannot make the lock file '%s/%s'", p->slots, name);
    else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        r = err_set(e, EBUSY, "another dump of '%s' is running", p->database);
    free(name);
    return r; /* the lock lives as long as the process */
}

static int run(struct program *p, char **names, int n)
{
    char *temp = xasprintf(".%s.sql.dumping.tmp", p->database);
    char hash[HASH_TEXT_CAP];
    struct err e = {0};
    int fd = -1, r, rc = 0;

    p->slots_fd = open(p->slots, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = p->slots_fd < 0 ? err_sys(&e, errno, "cannot open the slots folder '%s'", p->slots)
                        : lock_out_others(p, &e);
    if (r == 0) {
        (void)unlinkat(p->slots_fd, temp, 0); /* of a run that was killed */
        fd = openat(p->slots_fd, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        r = fd < 0 ? err_sys(&e, errno, "cannot write in '%s'", p->slots)
                   : make_dump(p, fd, hash, &e);
    }
    if (r < 0) {
        log_error("%s", e.text);
        rc = r == -EBUSY ? EXIT_BUSY : EXIT_DUMP;
    }
    for (int i = 0; r == 0 && i < n; i++) {
        if (!p->force && dropped_before(p, names[i], hash))
            continue;
        if (drop(p, names[i], temp, hash, &e) < 0) {
            log_error("%s", e.text);
            rc = EXIT_DUMP;
        }
    }
    if (fd >= 0) {
        close(fd);
        (void)unlinkat(p->slots_fd, temp, 0);
    }
    if (p->slots_fd >= 0)
        close(p->slots_fd);
    free(temp);
    return rc;
}

int main(int argc, char **argv)
{
    struct program p = {.slots_fd = -1};
    const struct opt table[] = {
        {OPT_STRING, "database", "DB", &p.database, NULL, 0, 0, "database to dump"},
        {OPT_STRING, "defaults-file", "FILE", &p.defaults_file, NULL, 0, 0,
         "client options with user, password, host or socket ([client])"},
        {OPT_STRING, "slots", "DIR", &p.slots, NULL, 0, 0, "folder that holds the slots"},
        {OPT_LIST, "ignore-table", "PATTERN", &p.ignore, NULL, 0, 0, "leave these tables out"},
        {OPT_FLAG, "force", NULL, &p.force, "no", 0, 0, "drop the dump even when it is unchanged"},
        {OPT_END, NULL, NULL, NULL, NULL, 0, 0, NULL},
    };
    struct err e = {0};
    bool help = false;
    int nargs = 0;

    log_init("eefs-sqldump", LOG_LEVEL_INFO);
    opt_defaults(table);
    if (opt_argv(table, argc, argv, &nargs, &help, &e) < 0) {
        log_error("%s", e.text);
        return EXIT_USAGE;
    }
    if (help) {
        opt_help(table, "eefs-sqldump --database DB --defaults-file FILE --slots DIR NAME…");
        return 0;
    }
    if (!p.database || !p.defaults_file || !p.slots || nargs == 0) {
        log_error("--database, --defaults-file, --slots and the names of the slots are needed; "
                  "see --help");
        return EXIT_USAGE;
    }
    if (path_check_name(p.database) < 0 || p.database[0] == '.') {
        log_error("'%s' cannot be a file's name", p.database);
        return EXIT_USAGE;
    }
    for (int i = 0; i < nargs; i++) {
        if (path_check_name(argv[i]) < 0 || argv[i][0] == '.') {
            log_error("'%s' is no name of a slot: a folder's name is needed", argv[i]);
            return EXIT_USAGE;
        }
    }
    if (access(p.defaults_file, R_OK) < 0) {
        log_error("cannot read the defaults file '%s': %s", p.defaults_file, strerror(errno));
        return EXIT_USAGE;
    }
    return run(&p, argv, nargs);
}
