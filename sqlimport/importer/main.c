/* SPDX-License-Identifier: MIT */
/*
 * eefs-sqlimport: keeps a mirror's database equal to the dumps that arrive in its slot.
 *
 *   slot.c            finds the dump, waits until it is whole, removes it in the end
 *   import.c          one import, in order:
 *     judge.c           judges all of the dump before anything is changed
 *     planner.c         finds what changed, by history.c and the server
 *     commit_rows.c     either changes the rows that differ, in one transaction (delta.c),
 *     commit_tables.c   or fills the staging schema on several connections (stage.c), and puts its
 *                       tables in place by one RENAME (swap.c)
 *     stored_objects.c  makes views, triggers, routines, events
 *     import_record.c   notes all of it in the history
 *   run.c             what these work on: the connection, and the tries for tables in use
 *   leftovers.c       ends what an interrupted import left (recover.c)
 *   report.c          shows the state to eefs-status
 *   hook.c            runs the command of --after
 *   confirm.c         between imports: compares tables that have no mark
 *
 * Threads: main (the loop here), one that writes the report, one that reads a dump ahead, and those
 * of stage.c while it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sqlimport/apply/confirm.h"
#include "sqlimport/dump/form.h"
#include "sqlimport/importer/hook.h"
#include "sqlimport/importer/import.h"
#include "sqlimport/importer/slot.h"
#include "sqlimport/dump/unpack.h"
#include "sqlimport/record/report.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/rundir.h"
#include "sync/common/systemd.h"

#define CONFIRM_LATER_MS  3600000
#define CONFIRM_FAILED_MS 60000
#define BACKOFF_MAX_MS    30000
#define EXIT_FAILED       1 /* of --once: the dump cannot be imported, or not now */
#define EXIT_NOTHING      3 /* nothing was imported: no dump, or several; also a wrong option */

static volatile int stop;
static int stop_fd = -1; /* an eventfd, readable once stop is set */

static void on_signal(int sig)
{
    const uint64_t one = 1;
    int saved = errno;

    (void)sig;
    stop = 1;
    (void)!write(stop_fd, &one, sizeof(one));
    errno = saved;
}

struct program {
    char *slot_dir, *file, *database, *defaults_file, *state_dir, *rundir, *name, *after;
    bool once, dry_run, keep_dump, no_keep, drop_missing, accept_unmarked;
    struct strlist allow_body;
    struct strlist keep_tables, keep_columns, prefixes;
    struct keep_args keep_args;
    struct keep_rules *keep;
    int64_t poll_ms, compare_ms, connections, drop_limit, after_timeout_ms;
    char *row_cache_dir;

    struct report *report;
    struct history *history;
    struct slot *slot;
    struct last_import last;
    struct failure failure;
    struct stat seen; /* the dump that failed, or that was kept after success */
    bool has_seen;
    bool settled; /* no import was interrupted since this start that has not been settled */
    int64_t backoff_ms;
    int64_t confirm_ms; /* clock_mono_ms() from which the next table is looked at */
    char warning[768];  /* logged last */
};

static const struct opt options[] = {
    {.type = OPT_STRING,
     .name = "slot",
     .arg = "DIR",
     .at = offsetof(struct program, slot_dir),
     .required = true,
     .help = "the folder that dumps arrive in"},
    {.type = OPT_STRING,
     .name = "file",
     .arg = "NAME",
     .at = offsetof(struct program, file),
     .without = "DB.sql, or the only dump that is there",
     .help = "the name of the dump"},
    {.type = OPT_STRING,
     .name = "database",
     .arg = "DB",
     .at = offsetof(struct program, database),
     .required = true,
     .help = "the database to fill"},
    {.type = OPT_STRING,
     .name = "defaults-file",
     .arg = "FILE",
     .at = offsetof(struct program, defaults_file),
     .required = true,
     .help = "a file of client options with user, password, host or socket ([client])"},
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct program, state_dir),
     .def = "/var/lib/eefs/import",
     .help = "the folder of the import history"},
    {.type = OPT_STRING,
     .name = "rundir",
     .arg = "DIR",
     .at = offsetof(struct program, rundir),
     .without = "$EEFS_RUNDIR or /run/eefs",
     .help = "the folder of the control sockets and of the reports that eefs-status reads"},
    {.type = OPT_STRING,
     .name = "name",
     .arg = "NAME",
     .at = offsetof(struct program, name),
     .without = "the name of the database",
     .help = "the name of this importer in eefs-status"},
    {.type = OPT_FLAG,
     .name = "once",
     .at = offsetof(struct program, once),
     .help = "import what is there, then exit: 0 imported, 1 failed, 3 nothing to import"},
    {.type = OPT_FLAG,
     .name = "dry-run",
     .at = offsetof(struct program, dry_run),
     .help = "print what would change, then exit"},
    {.type = OPT_FLAG,
     .name = "keep-dump",
     .at = offsetof(struct program, keep_dump),
     .help = "leave an imported dump in the slot"},
    {.type = OPT_FLAG,
     .name = "accept-unmarked-end",
     .at = offsetof(struct program, accept_unmarked),
     .help = "import a dump of a program that does not mark its end, although one that is cut off "
             "looks the same"},
    {.type = OPT_LIST,
     .name = "keep-table",
     .arg = "PATTERN",
     .at = offsetof(struct program, keep_tables),
     .help = "tables never to overwrite, besides ExpressionEngine's sessions and the like"},
    {.type = OPT_LIST,
     .name = "keep-column",
     .arg = "TABLE.COLUMN",
     .at = offsetof(struct program, keep_columns),
     .help = "a column whose values are never to be overwritten, besides ExpressionEngine's "
             "sites.site_bootstrap_checksums"},
    {.type = OPT_LIST,
     .name = "prefix",
     .arg = "TEXT",
     .at = offsetof(struct program, prefixes),
     .without = "found in the tables' names",
     .empty = true,
     .help = "the beginning of the names of ExpressionEngine's tables, '' where they have none"},
    {.type = OPT_FLAG,
     .name = "no-default-keep",
     .at = offsetof(struct program, no_keep),
     .help = "overwrite also ExpressionEngine's sessions and the like, and that column"},
    {.type = OPT_LIST,
     .name = "allow-body",
     .arg = "NAME",
     .at = offsetof(struct program, allow_body),
     .help = "accept the body of the view, trigger, routine or event of this name unjudged"},
    {.type = OPT_FLAG,
     .name = "drop-missing",
     .at = offsetof(struct program, drop_missing),
     .help = "drop tables that were imported earlier and are gone from the dump"},
    {.type = OPT_INT,
     .name = "drop-limit",
     .arg = "PERCENT",
     .at = offsetof(struct program, drop_limit),
     .def = "20",
     .min = 0,
     .max = 100,
     .help = "with --drop-missing, refuse a dump that lacks more than this share of the tables"},
    {.type = OPT_STRING,
     .name = "after",
     .arg = "COMMAND",
     .at = offsetof(struct program, after),
     .help = "a command for /bin/sh after each import that changed something; EEFS_TABLES names "
             "the changed tables, one a line"},
    {.type = OPT_DURATION,
     .name = "after-timeout",
     .arg = "TIME",
     .at = offsetof(struct program, after_timeout_ms),
     .def = "1min",
     .min = 10,
     .max = 86400000,
     .help = "the time after which that command is ended"},
    {.type = OPT_DURATION,
     .name = "compare-every",
     .arg = "TIME",
     .at = offsetof(struct program, compare_ms),
     .def = "24h",
     .min = 0,
     .max = 31536000000,
     .help = "between imports, compare each table with the last dump once in this time; 0 turns "
             "this off"},
    {.type = OPT_DURATION,
     .name = "poll",
     .arg = "TIME",
     .at = offsetof(struct program, poll_ms),
     .def = "5s",
     .min = 10,
     .max = 86400000,
     .help = "the interval between looks into the slot"},
    {.type = OPT_INT,
     .name = "connections",
     .arg = "N",
     .at = offsetof(struct program, connections),
     .def = "2",
     .min = 1,
     .max = 16,
     .help = "the number of connections that fill tables"},
    {0},
};

static const struct opt_command command = {
    .name = "eefs-sqlimport",
    .about = "Keeps a database equal to the dumps that arrive in a mirror's slot.\n\n"
             "Exit code with --once: 0 imported, 1 failed, 3 nothing to import or wrong usage.",
    .options = options,
};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void warn_once(struct program *p, const char *text)
{
    if (strcmp(p->warning, text) == 0)
        return;
    snprintf(p->warning, sizeof(p->warning), "%s", text);
    log_warn("%s", text);
}

static void show_failed(struct program *p)
{
    report_set_failure(p->report, &p->failure);
    report_set(p->report, "failed", p->failure.error,
               "make a new dump on the master; the importer does not try this one again until it "
               "changes (eefs-sqlimport --once does)");
}

/* Logged once: the error, its place, and what to do. */
static void report(const struct program *p, const struct failure *f)
{
    char place[700] = "";

    if (f->where.line)
        snprintf(place, sizeof(place), "; %s%s%sline %llu, offset %lld", *f->where.table ? "'" : "",
                 f->where.table, *f->where.table ? "', " : "", (unsigned long long)f->where.line,
                 (long long)f->where.offset);
    log_error("cannot import '%s/%s': %s%s; the dump stays, and is tried again when it changes: "
              "make a new one on the master",
              p->slot_dir, slot_file(p->slot), f->error, place);
}

static void failed(struct program *p, const struct failure *f, const struct err *e)
{
    struct err e2 = {0};
    int64_t count = p->failure.count + 1;

    p->failure = *f;
    p->failure.count = count;
    snprintf(p->failure.dump, sizeof(p->failure.dump), "%s", slot_file(p->slot));
    snprintf(p->failure.error, sizeof(p->failure.error), "%s", e->text);
    report(p, &p->failure);
    if (history_fail(p->history, &p->failure, &e2) < 0)
        log_warn("%s", e2.text);
    show_failed(p);
}

/* Not this dump's fault. */
static bool not_now(int r)
{
    return r == -ENOTCONN || r == -EAGAIN || r == -ENOSPC || r == -EACCES || r == -ESTALE ||
           r == -ENXIO || r == -ENOTRECOVERABLE;
}

static const char *what_to_do(int r)
{
    switch (r) {
    case -ENOTCONN:
        return "start the database server, or correct the defaults file";
    case -ENOSPC:
        return "free space on that disk; the importer tries again";
    case -EACCES:
        return "grant the missing rights to the account; the importer tries again";
    case -ENXIO:
        return "create that database, or name the right one with --database; the importer tries "
               "again";
    case -ENOTRECOVERABLE:
        return "inspect the named tables and set them right by hand; the importer tries again";
    default:
        return "nothing: the importer tries again";
    }
}

/* Reports the error and sets the time of the next try. */
static void try_later(struct program *p, int r, const struct err *e)
{
    warn_once(p, e->text);
    report_set(p->report, "waiting_database", e->text, what_to_do(r));
    p->backoff_ms = p->backoff_ms ? p->backoff_ms * 2 : 500;
    if (p->backoff_ms > BACKOFF_MAX_MS)
        p->backoff_ms = BACKOFF_MAX_MS;
}

/* taken: the file to remove from the slot, if it still has these bytes. */
static void succeeded(struct program *p, const struct slot_taken *taken, const struct stat *st)
{
    struct err e = {0};
    int r;

    p->backoff_ms = 0;
    p->confirm_ms = clock_mono_ms() + CONFIRM_AFTER_MS;
    p->warning[0] = '\0';
    memset(&p->failure, 0, sizeof(p->failure));
    log_info("imported '%s/%s' in %.3f s: %lld tables changed, %lld rows", p->slot_dir,
             slot_file(p->slot), p->last.seconds, (long long)p->last.tables_changed,
             (long long)p->last.rows);
    slot_took(p->slot);
    report_set_last(p->report, &p->last);
    report_set_failure(p->report, &p->failure);
    report_note(p->report, "compared", NULL);
    report_set(p->report, "idle", NULL, NULL);
    p->seen = *st;
    p->has_seen = p->keep_dump;
    if (p->keep_dump)
        return;
    r = slot_remove(p->slot, taken, &e);
    if (r < 0 && r != -ESTALE) {
        log_warn("imported, but %s", e.text);
        p->backoff_ms = BACKOFF_MAX_MS; /* then it is found unchanged, and removed */
    }
}

/* A dump that is to be left alone: it failed, or it was imported and is kept. */
static bool is_seen(struct program *p, int fd, const struct stat *st)
{
    struct hash now;

    if (p->once)
        return false;
    if (!p->has_seen && p->keep_dump && !hash_is_none(&p->last.hash) &&
        hash_fd(fd, &now, NULL) == 0 && hash_eq(&now, &p->last.hash)) {
        p->seen = *st; /* imported before this start */
        p->has_seen = true;
    }
    return p->has_seen && same_file(st, &p->seen);
}

/* No dump to import. */
static void found_none(struct program *p)
{
    if (!p->once)
        report_set(p->report, "idle", NULL, NULL);
    else if (p->file)
        log_error("nothing imported: the slot '%s' holds no '%s'", p->slot_dir, p->file);
    else
        log_error("nothing imported: the slot '%s' holds no dump (a file whose name ends in .sql, "
                  ".sql.gz or .sql.zst)",
                  p->slot_dir);
}

/* There is something, and nothing shows whether it is the intended dump. */
static void found_doubtful(struct program *p, const struct err *e)
{
    warn_once(p, e->text);
    report_set(p->report, "idle", e->text, "give the importer --file NAME with the intended one");
}

/* The dump in the slot as plain SQL. */
struct plain {
    int fd; /* of the plain text: the file itself, or an unpacked copy */
    bool packed;
    struct hash hash; /* of the file as it lies in the slot, when it is packed */
};

static int open_plain(struct program *p, int fd, struct plain *ret, struct err *e)
{
    enum form form;
    int r = form_of_file(fd, &form, e);

    *ret = (struct plain){.fd = fd};
    if (r == 0 && form != FORM_SQL) {
        ret->packed = true;
        r = unpack(fd, form, p->state_dir, &stop, &ret->fd, &ret->hash, e);
    }
    return r;
}

/* Not SQL at all, or damaged: known by its hash like any dump that fails. */
static int refuse_file(const struct import_args *a, int fd, int r, struct failure *f)
{
    memset(f, 0, sizeof(*f));
    if (r == -EPROTO && hash_fd(fd, &f->hash, NULL) == 0 && a->known_bad &&
        hash_eq(a->known_bad, &f->hash))
        return -EALREADY;
    return r;
}

/* Looks into the slot once. 0: done, or a dump that is left alone; -ENOENT: there is none, or none
 * that is certainly the intended one; else as from import_run(). */
static int look(struct program *p)
{
    struct witness witness = {0};
    struct import_args a = {
        .database = p->database,
        .defaults_file = p->defaults_file,
        .allow_body = &p->allow_body,
        .keep = p->keep,
        .connections = (int)p->connections,
        .dry_run = p->dry_run,
        .drop_missing = p->drop_missing,
        .accept_unmarked = p->accept_unmarked,
        .drop_limit = p->drop_limit,
        .row_cache_dir = p->row_cache_dir,
        .report = p->report,
        .history = p->history,
        .stop = &stop,
        .known_bad = p->once || hash_is_none(&p->failure.hash) ? NULL : &p->failure.hash,
        .witness = &witness,
    };
    struct failure f;
    struct slot_taken taken;
    struct plain plain;
    struct err e = {0};
    struct stat st;
    bool opened;
    int fd = -1;
    int r = slot_find(p->slot, &fd, &st, &e);

    if (r == 0)
        found_none(p);
    else if (r == -EEXIST)
        found_doubtful(p, &e);
    if (r == 0 || r == -EEXIST)
        return -ENOENT;
    if (r < 0) {
        warn_once(p, e.text);
        report_set(p->report, "waiting_database", e.text, "check the mount and --slot");
        return r;
    }
    r = 0;
    a.file = slot_file(p->slot);
    if (is_seen(p, fd, &st))
        goto out;
    report_set(p->report, "importing", NULL, NULL);
    r = open_plain(p, fd, &plain, &e);
    opened = r >= 0;
    r = opened ? import_run(&a, plain.fd, &p->last, &f, &e) : refuse_file(&a, fd, r, &f);
    p->settled = opened && !not_now(r) && r != -EINTR && r != -EALREADY;
    if (plain.fd != fd)
        close(plain.fd);
    if (r == 0 && !p->dry_run) {
        taken = (struct slot_taken){.fd = fd,
                                    .hash = plain.packed ? &plain.hash : &p->last.hash,
                                    .witness = plain.packed ? NULL : &witness};
        succeeded(p, &taken, &st);
    } else if (r == -EALREADY) {
        show_failed(p);
    } else if (r == -EINTR) {
        report_set(p->report, "idle", NULL, NULL);
    } else if (not_now(r)) {
        try_later(p, r, &e);
    } else if (r < 0) {
        failed(p, &f, &e);
    }
    if (r < 0 && r != -EINTR && !not_now(r)) {
        p->seen = st;
        p->has_seen = true;
        p->backoff_ms = 0;
    }
out:
    close(fd);
    return r;
}

static int set_up(struct program *p, struct err *e)
{
    struct sigaction act = {.sa_handler = on_signal};
    struct slot_args sa = {.dir = p->slot_dir,
                           .name = p->name,
                           .file = p->file,
                           .database = p->database,
                           .once = p->once};
    char *own = xasprintf("%s.sql", p->database);
    const char *rundir = rundir_path(p->rundir);
    int r;

    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0)
        return err_sys(e, errno, "cannot make an eventfd");
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN); /* sent when somebody writes to a dump while a witness is taken */
    p->row_cache_dir = xasprintf("%s/rows-%s", p->state_dir, p->name);
    r = history_open(p->state_dir, p->name, &p->history, e);
    if (r == 0)
        r = history_last(p->history, &p->last, &p->failure, e);
    if (r == 0)
        r = report_open(rundir, p->name, p->database, p->slot_dir, p->file, &p->report, e);
    if (r < 0)
        return r;
    sa.rundir = rundir;
    sa.last = *p->last.dump ? p->last.dump : hash_is_none(&p->last.hash) ? "" : own;
    p->slot = slot_new(&sa);
    free(own);
    report_set_last(p->report, &p->last);
    report_set_failure(p->report, &p->failure);
    return 0;
}

/* Runs the command of --after for the tables that changed. */
static void run_hook(struct program *p)
{
    const struct hook k = {.command = p->after,
                           .database = p->database,
                           .timeout_ms = p->after_timeout_ms,
                           .stop = &stop};
    struct err e = {0};
    int r = hook_run(&k, p->history, &e);

    if (r < 0 && r != -EINTR)
        log_warn("imported, but %s", e.text);
}

static void report_found(struct program *p, const char *table)
{
    struct err e = {0};
    char text[32];

    err_set(&e, EBADMSG,
            "table '%.100s' was not as imported, though the server had recorded no change (found "
            "%s): the next dump repairs it (eefs-sqldump --force on the master makes one at once)",
            table, clock_text(clock_wall_ns(), text));
    log_warn("%s", e.text);
    report_note(p->report, "compared", e.text);
    p->has_seen = false; /* a dump that was kept is imported again */
}

/* One table at a time, so that a dump that arrives does not wait, and with pauses. */
static void confirm(struct program *p)
{
    const struct confirm c = {.history = p->history,
                              .defaults_file = p->defaults_file,
                              .database = p->database,
                              .row_cache_dir = p->row_cache_dir,
                              .every_ms = p->compare_ms,
                              .due_only = p->once};
    int64_t begin = clock_mono_ms(), pause;
    struct err e = {0};
    char *found = NULL, *notice = NULL;
    int r;

    if (!p->once && clock_mono_ms() < p->confirm_ms)
        return;
    r = confirm_one(&c, &found, &notice, &e);
    pause = (clock_mono_ms() - begin) * CONFIRM_PAUSE;
    if (r < 0)
        log_debug("%s", e.text);
    if (notice)
        log_info("%s", notice);
    if (found)
        report_found(p, found);
    free(notice);
    free(found);
    if (r != 1) { /* when the next table's time has come */
        pause = confirm_due_ms(&c);
        pause = pause == INT64_MAX ? CONFIRM_LATER_MS : pause - clock_wall_ns() / 1000000;
        pause = pause > CONFIRM_LATER_MS ? CONFIRM_LATER_MS : pause;
        pause = r < 0 && pause < CONFIRM_FAILED_MS ? CONFIRM_FAILED_MS : pause;
    }
    p->confirm_ms = clock_mono_ms() + (pause < CONFIRM_PAUSE_MIN ? CONFIRM_PAUSE_MIN : pause);
}

/* Settles what an interrupted import left, without waiting for a dump; `looked` is the result of the
 * last look. -EAGAIN: it is not this one's turn, or tables are in use. */
static void settle(struct program *p, int looked)
{
    const struct import_args a = {.database = p->database,
                                  .defaults_file = p->defaults_file,
                                  .history = p->history,
                                  .keep = p->keep,
                                  .report = p->report,
                                  .stop = &stop};
    struct err e = {0};
    int r;

    if (p->settled || p->dry_run || stop || looked == -EAGAIN)
        return;
    r = import_recover(&a, &e);
    p->settled = r == 0;
    if ((r == -ENOTRECOVERABLE || r == -ENXIO) && r != looked)
        try_later(p, r, &e);
    else if (r < 0)
        log_debug("%s", e.text);
}

/* Until the next look into the slot; confirms: or until the next table's comparison, whose time
 * stands still while an import is tried again. */
static int64_t pause_ms(const struct program *p, bool confirms)
{
    int64_t pause = p->backoff_ms ? p->backoff_ms : p->poll_ms;
    int64_t until = p->confirm_ms - clock_mono_ms();

    if (!confirms || until > pause)
        return pause;
    return until < 0 ? 0 : until;
}

static int serve(struct program *p)
{
    bool calm;
    int r;

    systemd_notify("READY=1");
    for (;;) {
        r = look(p);
        calm = r == 0 || r == -ENOENT;
        settle(p, r);
        if (calm && !p->dry_run)
            run_hook(p);
        if (p->once && r == 0 && !p->dry_run && !stop)
            confirm(p); /* one table, where no service does it */
        if (p->once || stop)
            break;
        if (calm)
            confirm(p);
        slot_wait(p->slot, pause_ms(p, calm), stop_fd);
        if (stop)
            break;
    }
    systemd_notify("STOPPING=1");
    report_close(p->report);
    history_close(p->history);
    slot_free(p->slot);
    if (!p->once || r == 0)
        return 0;
    return r == -ENOENT ? EXIT_NOTHING : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    static struct program p; /* option texts live until exit */
    const struct rlimit no_core = {0, 0};
    struct err e = {0};
    enum opt_help help = OPT_HELP_NONE;
    int nargs = 0;

    log_init("eefs-sqlimport", LOG_LEVEL_INFO);
    setrlimit(RLIMIT_CORE, &no_core); /* rows lie in this program's memory */
    opt_defaults(options, &p);
    if (opt_argv(options, &p, argc, argv, &nargs, &help, &e) < 0) {
        log_error("%s", e.text);
        return EXIT_NOTHING;
    }
    if (help) {
        opt_help(&command, help);
        return 0;
    }
    if (opt_required(options, &p, &e) < 0 ||
        (nargs > 0 && err_set(&e, EINVAL, "unexpected argument '%s'; see --help", argv[0]) < 0)) {
        log_error("%s", e.text);
        return EXIT_NOTHING;
    }
    if (strlen(p.database) > 64 - strlen("_eefs_stage")) {
        log_error("the database name '%s' is too long: 53 characters at most", p.database);
        return EXIT_NOTHING;
    }
    if (!p.name)
        p.name = xstrdup(p.database);
    p.once = p.once || p.dry_run;
    p.keep_args = (struct keep_args){&p.keep_tables, &p.keep_columns, &p.prefixes, !p.no_keep};
    if (keep_rules_new(&p.keep_args, &p.keep, &e) < 0) {
        log_error("%s", e.text);
        return EXIT_NOTHING;
    }
    if (set_up(&p, &e) < 0) {
        log_error("%s", e.text);
        return EXIT_FAILED;
    }
    return serve(&p);
}
