/* SPDX-License-Identifier: MIT */
/*
 * history reads the database beside a running serve, or without one. restore asks the serve that
 * runs, for only that one may write to the folder in order with everybody else.
 */
#include "sync/master/cli/cmd_versions.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/opt.h"
#include "sync/common/path.h"
#include "sync/common/printable.h"
#include "sync/common/rundir.h"
#include "sync/master/db/history.h"
#include "sync/master/db/kept_rows.h"
#include "sync/master/cli/fail.h"
#include "sync/master/cli/state_dir.h"
#include "sync/master/db/tree.h"

#define RESTORE_MS 120000

/* *folder: it ended with '/'. */
static int tree_path(const char *text, char **ret, bool *folder, struct err *e)
{
    size_t n = strlen(text);
    char *path;

    if (path_from_text(text, &path) == 0) {
        *folder = text[n - 1] == '/' || !*path;
        *ret = path;
        return 0;
    }
    return err_set(e, EINVAL,
                   "'%s' is not a path in the shared folder; give it relative to that folder, such "
                   "as css/site.css",
                   text);
}

/* --- history --- */

struct listing {
    struct db *db;
    json_t *json; /* array, or NULL: to stdout */
    size_t n;
};

static void list_version(struct listing *l, int64_t seq, int64_t ended, int64_t size, uint32_t mode,
                         const struct hash *h, const char *state)
{
    char when[32] = "", text[HASH_TEXT_CAP];

    if (ended)
        clock_text(ended, when);
    if (l->json) {
        json_array_append_new(l->json, json_pack("{s:I,s:I,s:I,s:I,s:s,s:s}", "seq",
                                                 (json_int_t)seq, "ended", (json_int_t)ended,
                                                 "size", (json_int_t)size, "mode", (json_int_t)mode,
                                                 "hash", hash_text(h, text), "state", state));
    } else {
        if (l->n == 0)
            printf("%10s  %-20s  %12s  %-5s %s\n", "SEQ", "UNTIL", "SIZE", "MODE", "CONTENT");
        printf("%10" PRId64 "  %-20s  %12" PRId64 "  %04o  %s\n", seq, ended ? when : "now", size,
               mode & 07777, state);
    }
    l->n++;
}

static bool list_ended(void *arg, const struct version *v)
{
    struct listing *l = arg;
    bool kept = kept_rows_has(l->db, &v->hash) == 1 || tree_has_hash(l->db, &v->hash) == 1;

    list_version(l, v->seq, v->ended, v->size, v->mode, &v->hash, kept ? "kept" : "not kept");
    return true;
}

static bool list_deleted(void *arg, const char *path)
{
    struct listing *l = arg;
    char *text;

    if (l->json) {
        text = path_encoded(path);
        json_array_append_new(l->json, json_string(text));
        free(text);
    } else {
        if (l->n == 0)
            printf(
                "deleted below this folder ('eefs-master history' of each lists its versions):\n");
        printable_line(stdout, "  %s", path);
    }
    l->n++;
    return true;
}

static int print_json(json_t *list, const char *path, const char *key)
{
    char *text = path_encoded(path);
    json_t *o = json_pack("{s:s,s:O}", "path", text, key, list);

    json_dumpf(o, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(o);
    free(text);
    return 0;
}

static int history_of(struct db *db, const char *path, bool folder, bool json, struct err *e)
{
    struct listing l = {db, json ? json_array() : NULL, 0};
    struct row row = {0};
    int r = tree_get(db, path, &row);

    folder = folder || !*path || (r == 1 && row.e.type == ENTRY_DIR);
    if (r >= 0 && folder) {
        r = history_deleted(db, path, list_deleted, &l);
    } else if (r >= 0) {
        if (r == 1 && row.e.type == ENTRY_FILE)
            list_version(&l, row.e.seq, 0, row.e.size, row.e.mode, &row.e.hash, "present");
        r = history_each(db, path, list_ended, &l);
    }
    if (r < 0)
        err_sys(e, -r, "cannot read the history of '%s'", path);
    else if (json)
        print_json(l.json, path, folder ? "deleted" : "versions");
    else if (l.n == 0 && folder)
        printable_line(stdout, "nothing was deleted below '%s'", path);
    else if (l.n == 0)
        r = err_set(e, ENOENT, "no version of '%s' is known", path);
    else if (!folder && row.e.moved_from && row.e.type == ENTRY_FILE)
        printable_line(stdout, "it was '%s' before", row.e.moved_from);
    json_decref(l.json);
    row_release(&row);
    return r;
}

static bool list_unnamed(void *arg, const struct hash *h, int64_t size, int64_t found)
{
    struct listing *l = arg;
    char text[HASH_TEXT_CAP], when[32];

    hash_text(h, text);
    clock_text(found, when);
    if (l->json) {
        json_array_append_new(l->json, json_pack("{s:s,s:I,s:I}", "hash", text, "size",
                                                 (json_int_t)size, "found", (json_int_t)found));
    } else {
        if (l->n == 0)
            printf("%-20s  %12s  %s\n", "FOUND", "SIZE", "FILE in .eefs or the folder of --store");
        printf("%-20s  %12" PRId64 "  kept/%.2s/%s\n", when, size, text + 3, text);
    }
    l->n++;
    return true;
}

static int unnamed_of(struct db *db, bool json, struct err *e)
{
    struct listing l = {db, json ? json_array() : NULL, 0};
    int r = kept_rows_unnamed(db, list_unnamed, &l);
    json_t *o;

    if (r < 0) {
        err_sys(e, -r, "cannot read the list of kept contents");
    } else if (json) {
        o = json_pack("{s:O}", "unnamed", l.json);
        json_dumpf(o, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(o);
    } else if (l.n == 0) {
        printf("a path is known for each kept content\n");
    }
    json_decref(l.json);
    return r;
}

static struct history_options { /* texts live until exit */
    char *state;
    bool json, unnamed;
} history;

static const struct opt history_table[] = {
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct history_options, state),
     .required = true,
     .help = "the master's state folder, as given to eefs-master serve"},
    {.type = OPT_FLAG,
     .name = "json",
     .at = offsetof(struct history_options, json),
     .help = "print JSON; paths are percent-encoded"},
    {.type = OPT_FLAG,
     .name = "unnamed",
     .at = offsetof(struct history_options, unnamed),
     .help = "instead of a PATH: list the kept contents whose paths were lost with a damaged "
             "database"},
    {0},
};

static const struct opt_command history_command = {
    .name = "eefs-master history",
    .args = "PATH",
    .about = "Lists the versions of a file, or the files that were deleted below a folder.",
    .options = history_table,
};

int cmd_history(int argc, char **argv)
{
    enum opt_help help = OPT_HELP_NONE;
    bool folder;
    struct err e = {0};
    char *path = NULL;
    struct db *db = NULL;
    int r, nargs = 0;

    opt_defaults(history_table, &history);
    if (opt_argv(history_table, &history, argc, argv, &nargs, &help, &e) < 0)
        return cli_fail(&e);
    if (help) {
        opt_help(&history_command, help);
        return 0;
    }
    if (nargs != !history.unnamed)
        err_set(&e, EINVAL, "history: one PATH, or --unnamed, is needed; see --help");
    if (nargs != !history.unnamed || opt_required(history_table, &history, &e) < 0)
        return cli_fail(&e);
    r = history.unnamed ? 0 : tree_path(argv[0], &path, &folder, &e);
    if (r == 0)
        r = state_dir_open(history.state, false, &db, &e);
    if (r == 0)
        r = history.unnamed ? unnamed_of(db, history.json, &e)
                            : history_of(db, path, folder, history.json, &e);
    db_close(db);
    free(path);
    return r < 0 ? cli_fail(&e) : 0;
}

/* --- restore --- */

/* "PATH@SEQ"; a path may hold '@', too. */
static int parse_version(const char *text, char **path, int64_t *seq, struct err *e)
{
    const char *at = strrchr(text, '@');
    bool folder;
    char *left, *end;
    int r;

    if (!at || at[1] < '0' || at[1] > '9')
        return err_set(e, EINVAL,
                       "'%s' is not PATH@SEQ; 'eefs-master history PATH' lists the versions", text);
    errno = 0;
    *seq = strtoll(at + 1, &end, 10);
    if (errno || *end)
        return err_set(e, EINVAL, "'%s' is not the number of a version", at + 1);
    left = xstrndup(text, (size_t)(at - text));
    r = tree_path(left, path, &folder, e);
    free(left);
    return r;
}

static int ask(const char *socket, const char *path, int64_t seq, struct err *e)
{
    char *text = path_encoded(path);
    json_t *answer = NULL, *request = json_pack("{s:s,s:s,s:I}", "cmd", "restore", "path", text,
                                                "seq", (json_int_t)seq);
    int r = ctl_call(socket, request, RESTORE_MS, &answer, e);

    if (r == -ENOENT || r == -ECONNREFUSED)
        err_set(e, -r,
                "cannot restore: no 'eefs-master serve' answers at '%s'; start it, or give its "
                "--rundir",
                socket);
    else if (r == 0)
        printable_line(stdout,
                       "restored '%s' to version %" PRId64 "; that is change %" JSON_INTEGER_FORMAT
                       " now",
                       path, seq, json_integer_value(json_object_get(answer, "seq")));
    json_decref(answer);
    json_decref(request);
    free(text);
    return r;
}

static struct restore_options { /* texts live until exit */
    char *state, *rundir;
} restore;

static const struct opt restore_table[] = {
    {.type = OPT_STRING,
     .name = "state",
     .arg = "DIR",
     .at = offsetof(struct restore_options, state),
     .required = true,
     .help = "the master's state folder, as given to eefs-master serve"},
    {.type = OPT_STRING,
     .name = "rundir",
     .arg = "DIR",
     .at = offsetof(struct restore_options, rundir),
     .without = "$EEFS_RUNDIR or /run/eefs",
     .help = "the folder of the control socket"},
    {0},
};

static const struct opt_command restore_command = {
    .name = "eefs-master restore",
    .args = "PATH@SEQ",
    .about = "Restores a version that 'eefs-master history PATH' lists as kept. Needs a running "
             "'eefs-master serve'.",
    .options = restore_table,
};

int cmd_restore(int argc, char **argv)
{
    enum opt_help help = OPT_HELP_NONE;
    struct err e = {0};
    char *path = NULL, *socket = NULL;
    int64_t seq = 0;
    int r, nargs = 0;

    opt_defaults(restore_table, &restore);
    if (opt_argv(restore_table, &restore, argc, argv, &nargs, &help, &e) < 0)
        return cli_fail(&e);
    if (help) {
        opt_help(&restore_command, help);
        return 0;
    }
    if (nargs != 1)
        err_set(&e, EINVAL, "restore: one PATH@SEQ is needed; see --help");
    if (nargs != 1 || opt_required(restore_table, &restore, &e) < 0)
        return cli_fail(&e);
    r = parse_version(argv[0], &path, &seq, &e);
    if (r == 0)
        r = state_dir_socket(restore.state, restore.rundir, &socket, &e);
    if (r == 0)
        r = ask(socket, path, seq, &e);
    free(path);
    free(socket);
    return r < 0 ? cli_fail(&e) : 0;
}
