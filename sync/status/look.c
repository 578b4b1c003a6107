/* SPDX-License-Identifier: MIT */
#include "sync/status/look.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/file.h"
#include "sync/common/mounts.h"
#include "sync/common/rundir.h"

#define ASK_MS            2000
#define STALE_MS          30000
#define ISOLATED_GRACE_MS (15 * 60 * 1000)
#define IMPORT_MAX        (1024 * 1024)

static const char *text_of(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static void set_text(json_t *o, const char *name, const char *s)
{
    json_object_set_new(o, name, json_string(s));
}

static void set_state(json_t *o, const char *state, const char *reason, const char *action)
{
    set_text(o, "state", state);
    set_text(o, "reason", reason);
    set_text(o, "action", action);
}

/* --- sockets --- */

static void ask(json_t *into, const char *socket)
{
    json_t *request = json_pack("{s:s}", "cmd", "status"), *answer = NULL;
    struct err e = {0};
    int r = ctl_call(socket, request, ASK_MS, &answer, &e);

    set_text(into, "socket", socket);
    if (r == 0)
        json_object_update(into, answer);
    else
        set_state(into, "unknown", e.text,
                  "look at the daemon's log; if it hangs or is gone, "
                  "unmount (umount -l) and mount again");
    json_decref(request);
    json_decref(answer);
}

/* conflicts → conflicts_list */
static void ask_list(json_t *into, const char *socket, const char *list)
{
    json_t *request = json_pack("{s:s}", "cmd", list), *answer = NULL;
    char member[32];

    snprintf(member, sizeof(member), "%s_list", list);
    if (ctl_call(socket, request, ASK_MS, &answer, NULL) == 0)
        json_object_set(into, member, json_object_get(answer, list));
    json_decref(request);
    json_decref(answer);
}

struct asked {
    json_t *list;
    const char *lists; /* further lists to ask mounts for, or NULL */
};

static void ask_socket(void *arg, const char *path)
{
    struct asked *a = arg;
    json_t *o = json_object();

    ask(o, path);
    if (a->lists && strcmp(text_of(o, "kind"), "mount") == 0)
        ask_list(o, path, a->lists);
    json_array_append_new(a->list, o);
}

/* Every control socket of one kind; an unanswered one of a mount is kept only by look_mounts. */
static json_t *ask_sockets(const char *rundir, const char *kind, const char *lists)
{
    struct asked a = {json_array(), lists};

    rundir_each(rundir, kind, "sock", ask_socket, &a);
    return a.list;
}

/* --- the table of mounts --- */

static bool holds(const char *point, const char *path)
{
    size_t n = strlen(point);

    return strncmp(path, point, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool wanted(const char *point, char *const *paths, int n)
{
    int i;

    for (i = 0; i < n; i++)
        if (holds(point, paths[i]))
            return true;
    return n == 0;
}

/* Adds an eefs mount that no socket told of. */
static void add_silent(void *arg, const struct mounts_entry *e)
{
    json_t *mounts = arg, *m;
    size_t i;

    if (strcmp(e->type, MOUNTS_EEFS) != 0)
        return;
    json_array_foreach(mounts, i, m)
    {
        if (strcmp(text_of(m, "mountpoint"), e->point) == 0)
            return;
    }
    m = json_pack("{s:s,s:s}", "kind", "mount", "mountpoint", e->point);
    set_state(m, "unknown", "it is mounted, but its daemon does not answer",
              "look at the daemon's log; if it is gone, unmount (umount -l) and mount again");
    json_array_append_new(mounts, m);
}

static json_t *look_mounts(const char *rundir, char *const *paths, int n, const char *lists)
{
    json_t *all = ask_sockets(rundir, "mount", lists), *list = json_array(), *m;
    size_t i;

    json_array_foreach(all, i, m) if (json_object_get(m, "mountpoint")) json_array_append(list, m);
    json_decref(all);
    (void)mounts_each(add_silent, list);
    for (i = json_array_size(list); i-- > 0;)
        if (!wanted(text_of(json_array_get(list, i), "mountpoint"), paths, n))
            json_array_remove(list, i);
    return list;
}

/* --- imports --- */

static void judge_import(json_t *o)
{
    const char *told = text_of(o, "state");
    json_t *pid = json_object_get(o, "pid");
    int64_t failed = json_integer_value(json_object_get(json_object_get(o, "failed"), "count"));
    int64_t updated = json_integer_value(json_object_get(o, "updated_ms"));
    bool gone = json_is_integer(pid) && json_integer_value(pid) > 0 &&
                kill((pid_t)json_integer_value(pid), 0) < 0 && errno == ESRCH;

    set_text(o, "activity", told);
    if (strcmp(told, "stopped") != 0 && (gone || clock_wall_ns() / 1000000 - updated > STALE_MS)) {
        set_state(o, "DEGRADED", "importer is not running", "start eefs-sqlimport for this slot");
        return;
    }
    if (strcmp(told, "failed") == 0 && failed < 1)
        failed = 1;
    if (failed >= 3)
        set_text(o, "state", "FAILED");
    else if (failed > 0 || strcmp(told, "waiting_database") == 0)
        set_text(o, "state", "DEGRADED");
    else
        set_text(o, "state", strcmp(told, "importing") == 0 ? "SYNCING" : "OK");
}

static void look_import(void *list, const char *path)
{
    struct buf b = BUF_INIT;
    json_t *o = NULL;

    if (file_slurp(AT_FDCWD, path, IMPORT_MAX, &b) == 0 && b.len > 0)
        o = json_loadb(b.data, b.len, 0, NULL);
    buf_release(&b);
    if (json_is_object(o)) {
        judge_import(o);
    } else {
        json_decref(o);
        o = json_pack("{s:s}", "name", strrchr(path, '/') + 1);
        set_state(o, "unknown", "its state file cannot be read", "start eefs-sqlimport again");
    }
    json_array_append_new(list, o);
}

static json_t *look_imports(const char *rundir)
{
    json_t *list = json_array();

    rundir_each(rundir, "import", "json", look_import, list);
    return list;
}

/* --- together --- */

static int code_of(json_t *o)
{
    const char *s = text_of(o, "state");

    if (strcmp(s, "OK") == 0 || strcmp(s, "SYNCING") == 0)
        return 0;
    if (strcmp(s, "DEGRADED") == 0)
        return 1;
    if (strcmp(s, "ISOLATED") == 0)
        return json_integer_value(json_object_get(o, "down_ms")) > ISOLATED_GRACE_MS ? 2 : 1;
    return strcmp(s, "FAILED") == 0 ? 2 : 3;
}

static void fold(json_t *list, int *code, const char **state)
{
    size_t i;
    json_t *o;

    json_array_foreach(list, i, o)
    {
        int c = code_of(o);

        if (c > *code || (c == *code && (!*state || strcmp(*state, "OK") == 0))) {
            *code = c;
            *state = text_of(o, "state");
        }
    }
}

json_t *look(const char *rundir, char *const *paths, int n, const char *lists, int *code)
{
    json_t *mounts = look_mounts(rundir, paths, n, lists);
    json_t *masters = n > 0 ? json_array() : ask_sockets(rundir, "master", NULL);
    json_t *imports = n > 0 ? json_array() : look_imports(rundir);
    const char *state = NULL;

    *code = 0;
    fold(mounts, code, &state);
    fold(masters, code, &state);
    fold(imports, code, &state);
    if (!state)
        *code = 3;
    return json_pack("{s:s,s:o,s:o,s:o}", "state", state ? state : "unknown", "mounts", mounts,
                     "masters", masters, "imports", imports);
}
