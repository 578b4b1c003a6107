/* SPDX-License-Identifier: MIT */
#include "sync/status/look.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/file.h"
#include "sync/common/mounts.h"
#include "sync/common/printable.h"
#include "sync/common/rundir.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/status/inner_path.h"
#include "sync/status/fstab.h"

#define ASK_MS            2000
#define STALE_MS          30000
#define ISOLATED_GRACE_MS (15 * 60 * 1000)
#define IMPORT_MAX        (1024 * 1024)
#define IMPORTER          "eefs-sqlimport"

static const char *text_of(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static void set_text(json_t *o, const char *name, const char *s)
{
    char *text = printable_utf8(s);

    json_object_set_new(o, name, json_string(text));
    free(text);
}

static void set_state(json_t *o, const char *state, const char *reason, const char *action)
{
    set_text(o, "state", state);
    set_text(o, "reason", reason);
    set_text(o, "action", action);
}

/* --- sockets --- */

/* One control socket and what came of asking it, in a thread of its own: a daemon that hangs holds
 * up nobody. */
struct question {
    char *socket;
    char *point;        /* the mountpoint that the daemon noted beside its socket; NULL: none */
    const char *lists;  /* a further list to ask a mount for, or NULL */
    char *const *paths; /* n_paths of them, absolute: those within the mount are asked about */
    int n_paths;
    pthread_t thread;
    bool running;
    json_t *answer; /* the daemon's, or a state "unknown" */
    bool silent;    /* it is there, and does not answer */
};

/* The state of a process as in proc(5), '?': not known. `name`: what it must be called, else it is
 * another one with that number; NULL: no matter. */
static char process_letter(pid_t pid, const char *name)
{
    char path[64], text[512], *begin, *end;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    begin = strchr(text, '(');
    end = strrchr(text, ')'); /* "pid (name) state …" */
    if (!begin || !end || end < begin || end[1] != ' ')
        return '?';
    *end = '\0';
    return !name || strcmp(begin + 1, name) == 0 ? end[2] : '?';
}

/* What the kernel says of a process that does not answer. */
static const char *process_state(pid_t pid)
{
    switch (process_letter(pid, NULL)) {
    case 'T':
    case 't':
        return "is stopped (SIGSTOP or a debugger)";
    case 'D':
        return "hangs in the kernel";
    case 'Z':
    case 'X':
        return "has ended";
    default:
        return "does not answer";
    }
}

static void set_silent(struct question *q, pid_t pid)
{
    char reason[160];

    snprintf(reason, sizeof(reason), "its daemon (process %d) %s; waited %d s", (int)pid,
             process_state(pid), ASK_MS / 1000);
    q->silent = true;
    set_state(q->answer, "unknown", reason,
              "look at the daemon's log; if it is stopped: kill -CONT; if it hangs: "
              "umount -f, then mount again");
}

/* One request, about the tree path `path` unless that is NULL; -errno as ctl_recv(). */
static int ask(struct question *q, const char *cmd, const char *path, json_t **ret, struct err *e)
{
    int64_t until = clock_mono_ms() + ASK_MS;
    json_t *request = json_pack("{s:s,s:s*}", "cmd", cmd, "path", path);
    struct ctl *c = NULL;
    pid_t pid = 0;
    int r = ctl_connect(q->socket, ASK_MS, &c, e);

    if (r == 0) {
        pid = ctl_peer_pid(c);
        r = ctl_send(c, request, until - clock_mono_ms(), e);
    }
    if (r == 0)
        r = ctl_recv(c, until - clock_mono_ms(), ret, e);
    if (r == -ETIMEDOUT)
        set_silent(q, pid);
    ctl_close(c);
    json_decref(request);
    return r;
}

/* How a path stands by the answer about it: new reference, NULL from a mount that cannot tell (an
 * older one). */
static json_t *path_of_answer(json_t *answer, const char *path)
{
    json_t *o = json_incref(json_object_get(answer, "path"));
    const char *code = text_of(answer, "code");

    if (o || !*code || strcmp(code, "bad_request") == 0)
        return o;
    o = json_pack("{s:s}", "path", path);
    set_text(o, "state", code);
    set_text(o, "error", text_of(answer, "error"));
    return o;
}

/* Asks a mount how the paths stand that it holds and that are not its mountpoint. */
static void ask_about_paths(struct question *q)
{
    const char *point = text_of(q->answer, "mountpoint");
    json_t *list = json_array();

    for (int i = 0; i < q->n_paths && !q->silent; i++) {
        char *inner = mount_inner_path(point, q->paths[i]);
        char *text = inner ? path_encoded(inner) : NULL;
        json_t *answer = NULL, *o = NULL;
        struct err e = {0};

        if (text && *text && ask(q, "path", text, &answer, &e) == 0)
            o = path_of_answer(answer, text);
        if (o)
            json_array_append_new(list, o);
        json_decref(answer);
        free(text);
        free(inner);
    }
    if (json_array_size(list) > 0)
        json_object_set(q->answer, "paths", list);
    json_decref(list);
}

static void *question_run(void *arg)
{
    struct question *q = arg;
    json_t *answer = NULL, *more = NULL;
    struct err e = {0};
    char member[32];
    int r = ask(q, "status", NULL, &answer, &e);

    if (r == 0)
        json_object_update(q->answer, answer);
    else if (!q->silent)
        set_state(q->answer, "unknown", e.text,
                  "look at the daemon's log; if it hangs or is gone, "
                  "unmount (umount -l) and mount again");
    if (r == 0 && q->lists && strcmp(text_of(answer, "kind"), "mount") == 0 &&
        ask(q, q->lists, NULL, &more, &e) == 0) {
        snprintf(member, sizeof(member), "%s_list", q->lists);
        json_object_set(q->answer, member, json_object_get(more, q->lists));
    }
    if (r == 0 && strcmp(text_of(answer, "kind"), "mount") == 0)
        ask_about_paths(q);
    set_text(q->answer, "socket", q->socket);
    json_decref(answer);
    json_decref(more);
    return NULL;
}

struct questions {
    struct question *v;
    size_t n;
    char *const *paths; /* mounts elsewhere are not asked */
    int n_paths;
    const char *lists;
};

static bool wanted(const char *point, char *const *paths, int n);

/* Adds a socket of which it is not known that it is not wanted. */
static void add_question(void *arg, const char *path)
{
    struct questions *all = arg;
    char *point = rundir_point(path);
    struct question *q;

    if (point && !wanted(point, all->paths, all->n_paths)) {
        free(point);
        return;
    }
    all->v = xrealloc(all->v, (all->n + 1) * sizeof(*all->v));
    q = &all->v[all->n++];
    memset(q, 0, sizeof(*q));
    q->socket = xstrdup(path);
    q->point = point;
    q->lists = all->lists;
    q->paths = all->paths;
    q->n_paths = all->n_paths;
    q->answer = json_object();
}

/* Asks all at the same time. */
static void ask_begin(struct questions *all)
{
    for (size_t i = 0; i < all->n; i++) {
        struct question *q = &all->v[i];

        q->running = thread_start(&q->thread, "ask", question_run, q) == 0;
        if (!q->running)
            question_run(q);
    }
}

static void ask_end(struct questions *all)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->v[i].running)
            thread_join(all->v[i].thread);
}

static void questions_release(struct questions *all)
{
    for (size_t i = 0; i < all->n; i++) {
        free(all->v[i].socket);
        free(all->v[i].point);
        json_decref(all->v[i].answer);
    }
    free(all->v);
}

/* --- the table of mounts --- */

static bool holds(const char *point, const char *path)
{
    size_t n = strlen(point);

    return strncmp(path, point, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* `point` is a mountpoint as it is or as printable_utf8() has it. */
static bool wanted(const char *point, char *const *paths, int n)
{
    bool yes = n == 0;

    for (int i = 0; i < n && !yes; i++) {
        char *path = printable_utf8(paths[i]), *text = printable_utf8(point);

        yes = holds(text, path);
        free(path);
        free(text);
    }
    return yes;
}

static bool is_listed(json_t *mounts, const char *point)
{
    json_t *m;
    size_t i;

    json_array_foreach(mounts, i, m)
    {
        if (strcmp(text_of(m, "mountpoint"), point) == 0)
            return true;
    }
    return false;
}

/* Adds an eefs mount that no socket reported. */
static void add_silent(void *arg, const struct mounts_entry *e)
{
    json_t *mounts = arg, *m;
    char *point;

    if (strcmp(e->type, MOUNTS_EEFS) != 0)
        return;
    point = printable_utf8(e->point);
    if (!is_listed(mounts, point)) {
        m = json_pack("{s:s,s:s}", "kind", "mount", "mountpoint", point);
        set_state(m, "unknown", "it is mounted, but its daemon does not answer",
                  "look at the daemon's log; if it is gone, unmount (umount -l) and mount again");
        json_array_append_new(mounts, m);
    }
    free(point);
}

/* An eefs line that is not mounted. */
static void add_unmounted(void *arg, const char *url, const char *point, bool automount)
{
    char *action = xasprintf(automount ? "ls '%s'" : "mount '%s'", point);
    char *shown = printable_utf8(point);
    json_t *mounts = arg, *m = json_object();

    set_text(m, "kind", "mount");
    set_text(m, "mountpoint", shown);
    set_text(m, "url", url);
    set_state(m, "unknown",
              automount ? "not mounted yet: the automounter mounts it when it is used"
                        : "not mounted, but /etc/fstab has it",
              action);
    if (is_listed(mounts, shown))
        json_decref(m);
    else
        json_array_append_new(mounts, m);
    free(shown);
    free(action);
}

/* What is kept of a socket: an answer, or a daemon that is there and silent. A socket that nobody
 * listens on is a leftover; what is mounted all the same is found by add_silent(). */
static void add_answer(json_t *list, const struct question *q)
{
    char *point;

    if (q->silent) {
        point = printable_utf8(q->point ? q->point : "");
        set_text(q->answer, "kind", "mount");
        set_text(q->answer, "mountpoint", point);
        free(point);
    }
    if (json_is_string(json_object_get(q->answer, "mountpoint")))
        json_array_append(list, q->answer);
}

static json_t *list_mounts(const struct questions *all, char *const *paths, int n)
{
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < all->n; i++)
        add_answer(list, &all->v[i]);
    (void)mounts_each(add_silent, list);
    fstab_unmounted(add_unmounted, list);
    for (i = json_array_size(list); i-- > 0;)
        if (!wanted(text_of(json_array_get(list, i), "mountpoint"), paths, n))
            json_array_remove(list, i);
    return list;
}

/* --- imports --- */

/* The importer has not said for long what it does. False: it has, or needs not. */
static bool judge_silence(json_t *o)
{
    pid_t pid = (pid_t)json_integer_value(json_object_get(o, "pid"));
    int64_t updated = json_integer_value(json_object_get(o, "updated_ms"));
    int64_t quiet = clock_wall_ns() / 1000000 - updated;
    char letter = process_letter(pid, IMPORTER), reason[160], action[64];

    if (strcmp(text_of(o, "state"), "stopped") == 0)
        return false;
    if (letter == 'T' || letter == 't') {
        snprintf(reason, sizeof(reason), "importer (process %d) %s", (int)pid, process_state(pid));
        snprintf(action, sizeof(action), "kill -CONT %d", (int)pid);
        set_state(o, "DEGRADED", reason, action);
        return true;
    }
    if (pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
        quiet = INT64_MAX;
    if (quiet <= STALE_MS)
        return false;
    if (letter == '?') {
        set_state(o, "DEGRADED", "importer is not running", "start eefs-sqlimport for this slot");
    } else {
        snprintf(reason, sizeof(reason), "importer (process %d) %s: no report for %lld s", (int)pid,
                 process_state(pid), (long long)(quiet / 1000));
        set_state(o, "DEGRADED", reason, "look at its log; if it hangs, restart eefs-sqlimport");
    }
    return true;
}

static void judge_import(json_t *o)
{
    char *told = xstrdup(text_of(o, "state"));
    int64_t failed = json_integer_value(json_object_get(json_object_get(o, "failed"), "count"));

    set_text(o, "activity", told);
    if (judge_silence(o)) {
        free(told);
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
    free(told);
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
        o = json_object();
        set_text(o, "name", strrchr(path, '/') + 1);
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
    json_t *grace = json_object_get(o, "isolated_grace_ms");
    const char *s = text_of(o, "state");

    if (strcmp(s, "OK") == 0 || strcmp(s, "SYNCING") == 0)
        return 0;
    if (strcmp(s, "DEGRADED") == 0)
        return 1;
    if (strcmp(s, "ISOLATED") == 0)
        return json_integer_value(json_object_get(o, "down_ms")) >
                       (grace ? json_integer_value(grace) : ISOLATED_GRACE_MS)
                   ? 2
                   : 1;
    return strcmp(s, "FAILED") == 0 ? 2 : 3;
}

/* The worst so far. */
struct verdict {
    int code;
    json_t *worst; /* borrowed */
    const char *kind, *name;
};

static void fold(struct verdict *v, json_t *list, const char *kind, const char *name)
{
    size_t i;
    json_t *o;

    json_array_foreach(list, i, o)
    {
        int c = code_of(o);

        if (!v->worst || c > v->code ||
            (c == v->code && strcmp(text_of(v->worst, "state"), "OK") == 0)) {
            *v = (struct verdict){c, o, kind, text_of(o, name)};
        }
    }
}

static json_t *verdict_json(const struct verdict *v)
{
    json_t *o = json_object();

    set_text(o, "kind", v->kind ? v->kind : "");
    set_text(o, "name", v->name ? v->name : "");
    set_text(o, "reason", v->worst ? text_of(v->worst, "reason") : "");
    set_text(o, "action", v->worst ? text_of(v->worst, "action") : "");
    return o;
}

static void set_verdict(json_t *all, int *code)
{
    struct verdict v = {0};

    fold(&v, json_object_get(all, "mounts"), "mount", "mountpoint");
    fold(&v, json_object_get(all, "masters"), "master", "root");
    fold(&v, json_object_get(all, "imports"), "import", "name");
    *code = v.worst ? v.code : 3;
    set_text(all, "state", v.worst ? text_of(v.worst, "state") : "unknown");
    json_object_set_new(all, "worst", verdict_json(&v));
}

json_t *look(const char *rundir, char *const *paths, int n, const char *lists, int *code)
{
    struct questions at_mounts = {.paths = paths, .n_paths = n, .lists = lists};
    struct questions at_masters = {0};
    json_t *imports = n > 0 ? json_array() : look_imports(rundir), *mounts, *masters = json_array();
    json_t *all;

    rundir_each(rundir, "mount", "sock", add_question, &at_mounts);
    if (n == 0)
        rundir_each(rundir, "master", "sock", add_question, &at_masters);
    ask_begin(&at_mounts);
    ask_begin(&at_masters);
    ask_end(&at_mounts);
    ask_end(&at_masters);
    mounts = list_mounts(&at_mounts, paths, n);
    for (size_t i = 0; i < at_masters.n; i++)
        json_array_append(masters, at_masters.v[i].answer);
    questions_release(&at_mounts);
    questions_release(&at_masters);
    all = json_pack("{s:i,s:s,s:s,s:o,s:o,s:o}", "schema", LOOK_SCHEMA, "version", EEFS_VERSION,
                    "state", "", "mounts", mounts, "masters", masters, "imports", imports);
    set_verdict(all, code);
    return all;
}
