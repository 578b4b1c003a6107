/* SPDX-License-Identifier: MIT */
#include "sync/status/act.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/printable.h"
#include "sync/common/thread.h"
#include "sync/status/inner_path.h"

#define ASK_MS 10000 /* a large outbox takes its time */

/* One mount, in a thread of its own: one that hangs holds up none of the others. */
struct act {
    const char *cmd, *point, *socket; /* socket NULL: it does not answer */
    int64_t until;                    /* mono ms; of "wait" */
    char *const *paths;
    int n;
    const char *into;
    pthread_t thread;
    bool running;
    int code;
};

static long long int_of(json_t *o, const char *name)
{
    return (long long)json_integer_value(json_object_get(o, name));
}

/* Copies one content to into/PATH; a file that is there gets no harm: the copy's name ends with a
 * part of its hash then. */
static int copy_out(const struct act *a, const char *path, json_t *o)
{
    const char *hash = json_string_value(json_object_get(o, "hash"));
    const char *file = json_string_value(json_object_get(o, "file"));
    char *to = xasprintf("%s/%s", a->into, path);
    char *folder = xstrndup(to, strlen(to) - strlen(path_base(path)) - 1);
    int r = file_mkdirs(folder, 0700), in = -1, out = -1;

    if (r == 0)
        r = in = file ? open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (r >= 0)
        r = out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (r < 0 && errno == EEXIST && in >= 0 && hash && strlen(hash) > 11) {
        char *other = xasprintf("%s (%.8s)", to, hash + 3);

        free(to);
        to = other;
        r = out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (r < 0)
        r = -errno;
    else
        r = file_copy(in, out);
    if (r < 0)
        log_error("cannot copy to '%s': %s", to, strerror(-r));
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) < 0 && r >= 0)
        r = -errno;
    free(folder);
    free(to);
    return r;
}

/* Contents at or under `path`, one a line. 0, or -errno of a copy that failed. */
static int say_salvaged(const struct act *a, const char *path, json_t *answer)
{
    const char *unread = json_string_value(json_object_get(answer, "unread"));
    json_t *list = json_object_get(answer, "salvage");
    int worst = unread ? -EIO : 0, n = 0;
    size_t i;
    json_t *o;

    json_array_foreach(list, i, o)
    {
        const char *text = json_string_value(json_object_get(o, "path"));
        char *tree = NULL;

        if (!text || path_decode(text, &tree) < 0 || !path_is_under(tree, path)) {
            free(tree);
            continue;
        }
        n++;
        printable_line(stdout, "%s: %s, %lld bytes, %s", a->point, text, int_of(o, "size"),
                       json_string_value(json_object_get(o, "hash")));
        if (a->into) {
            int r = copy_out(a, tree, o);
            worst = r < 0 ? r : worst;
        }
        free(tree);
    }
    printable_line(stdout, "%s: %d contents are in the cache only%s", a->point, n,
                   a->into && n && worst == 0 ? ", and copied" : "");
    if (unread)
        log_error(
            "there may be more that cannot be read now (%s); see to the disk of the cache folder",
            unread);
    return worst;
}

static int say_done(const struct act *a, const char *path, json_t *answer)
{
    size_t i;
    json_t *x;

    if (strcmp(a->cmd, "discard") == 0) {
        json_array_foreach(json_object_get(answer, "paths"), i, x) printable_line(
            stdout, "discarded the change of %s", json_is_string(x) ? json_string_value(x) : "?");
    } else if (strcmp(a->cmd, "salvage") == 0) {
        return say_salvaged(a, path, answer);
    } else if (strcmp(a->cmd, "renew") == 0) {
        printable_line(stdout, "%s: now has an identity of its own", a->point);
    } else {
        printable_line(stdout, "%s: %lld %s", a->point, int_of(answer, "count"),
                       strcmp(a->cmd, "retry") == 0 ? "changes are sent again"
                                                    : "conflicts removed from the list");
    }
    return 0;
}

/* Everything is on the master, or says what is not. */
static int say_waited(const struct act *a, int r, json_t *answer, const struct err *e)
{
    if (r < 0) {
        log_error("'%s': %lld changes are not on the master: %s", a->point,
                  int_of(answer, "pending"), e->text);
        return 1;
    }
    if (int_of(answer, "quarantined") > 0) {
        log_error("'%s': %lld changes are not on the master: it refused them; "
                  "eefs-status --quarantine lists them",
                  a->point, int_of(answer, "quarantined"));
        return 1;
    }
    return 0;
}

/* One request about the tree path `path`. */
static int act_on(const struct act *a, const char *path)
{
    bool wait = strcmp(a->cmd, "wait") == 0, silent;
    int64_t left = a->until - clock_mono_ms();
    char *text = path_encoded(path);
    json_t *request = json_pack("{s:s,s:s}", "cmd", a->cmd, "path", text), *answer = NULL;
    struct err e = {0};
    int r;

    left = left > 0 ? left : 0;
    if (wait)
        json_object_set_new(request, "timeout_ms", json_integer(left));
    r = ctl_call(a->socket, request, ASK_MS + (wait ? left : 0), &answer, &e);
    silent = r == -ETIMEDOUT; /* its own "timeout" is -EREMOTEIO */
    if (silent)
        log_error("'%s' does not answer", a->point);
    else if (wait)
        r = say_waited(a, r, answer, &e);
    else if (r < 0)
        log_error("'%s': %s", a->point, e.text);
    else
        r = say_done(a, path, answer);
    json_decref(request);
    json_decref(answer);
    free(text);
    return r == 0 ? 0 : silent ? 3 : 1;
}

static void *act_run(void *arg)
{
    struct act *a = arg;

    if (!a->socket) {
        log_error("'%s' does not answer", a->point);
        a->code = 3;
        return NULL;
    }
    if (a->n == 0)
        a->code = act_on(a, "");
    for (int i = 0; i < a->n; i++) {
        char *path = mount_inner_path(a->point, a->paths[i]);
        int r = path ? act_on(a, path) : 0;

        a->code = r > a->code ? r : a->code;
        free(path);
    }
    return NULL;
}

int act(json_t *all, const char *cmd, char *const *paths, int n, int64_t timeout_ms,
        const char *into)
{
    json_t *mounts = json_object_get(all, "mounts"), *m;
    struct act *acts = xcalloc(json_array_size(mounts) + 1, sizeof(*acts));
    int64_t until = clock_mono_ms() + timeout_ms;
    int worst = 0;
    size_t i;

    json_array_foreach(mounts, i, m)
    {
        struct act *a = &acts[i];
        const char *point = json_string_value(json_object_get(m, "mountpoint"));

        *a = (struct act){.cmd = cmd, .until = until, .paths = paths, .n = n, .into = into};
        a->point = point ? point : "?";
        if (point && json_object_get(m, "pending"))
            a->socket = json_string_value(json_object_get(m, "socket"));
        a->running = thread_start(&a->thread, "act", act_run, a) == 0;
        if (!a->running)
            act_run(a);
    }
    for (i = 0; i < json_array_size(mounts); i++) {
        if (acts[i].running)
            thread_join(acts[i].thread);
        worst = acts[i].code > worst ? acts[i].code : worst;
    }
    free(acts);
    return worst;
}
