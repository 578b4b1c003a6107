/* SPDX-License-Identifier: MIT */
#include "sync/status/act.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/ctl.h"
#include "sync/common/log.h"
#include "sync/common/path.h"

#define ASK_MS 10000 /* a large outbox takes its time */

struct act {
    const char *cmd, *point, *socket;
    int64_t until; /* mono ms; of "wait" */
};

static long long int_of(json_t *o, const char *name)
{
    return (long long)json_integer_value(json_object_get(o, name));
}

static void say_done(const struct act *a, json_t *answer)
{
    size_t i;
    json_t *x;

    if (strcmp(a->cmd, "discard") == 0) {
        json_array_foreach(json_object_get(answer, "paths"), i, x)
            printf("discarded the change of %s\n", json_string_value(x));
    } else if (strcmp(a->cmd, "renew") == 0) {
        printf("%s: has an identity of its own now\n", a->point);
    } else {
        printf("%s: %lld %s\n", a->point, int_of(answer, "count"),
               strcmp(a->cmd, "retry") == 0 ? "changes are sent again"
                                            : "conflicts are off the list");
    }
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
    bool wait = strcmp(a->cmd, "wait") == 0;
    int64_t left = a->until - clock_mono_ms();
    char *text = path_encoded(path);
    json_t *request = json_pack("{s:s,s:s}", "cmd", a->cmd, "path", text), *answer = NULL;
    struct err e = {0};
    int r;

    left = left > 0 ? left : 0;
    if (wait)
        json_object_set_new(request, "timeout_ms", json_integer(left));
    r = ctl_call(a->socket, request, ASK_MS + (wait ? left : 0), &answer, &e);
    if (wait)
        r = say_waited(a, r, answer, &e);
    else if (r < 0)
        log_error("'%s': %s", a->point, e.text);
    else
        say_done(a, answer);
    json_decref(request);
    json_decref(answer);
    free(text);
    return r == 0 ? 0 : 1;
}

/* The tree path of an absolute path within the mount, or NULL. */
static const char *inside(const char *point, const char *path)
{
    size_t n = strlen(point);

    if (strncmp(path, point, n) != 0 || (path[n] && path[n] != '/'))
        return NULL;
    return path[n] ? path + n + 1 : "";
}

static int act_mount(struct act *a, char *const *paths, int n)
{
    int worst = 0;

    if (n == 0)
        return act_on(a, "");
    for (int i = 0; i < n; i++) {
        const char *path = inside(a->point, paths[i]);
        int r = path ? act_on(a, path) : 0;

        worst = r > worst ? r : worst;
    }
    return worst;
}

int act(json_t *all, const char *cmd, char *const *paths, int n, int64_t timeout_ms)
{
    struct act a = {.cmd = cmd, .until = clock_mono_ms() + timeout_ms};
    int worst = 0, r;
    size_t i;
    json_t *m;

    json_array_foreach(json_object_get(all, "mounts"), i, m)
    {
        a.socket = json_string_value(json_object_get(m, "socket"));
        a.point = json_string_value(json_object_get(m, "mountpoint"));
        if (!a.socket || !a.point || json_object_get(m, "pending") == NULL) {
            log_error("'%s' does not answer", a.point ? a.point : "?");
            r = 3;
        } else {
            r = act_mount(&a, paths, n);
        }
        worst = r > worst ? r : worst;
    }
    return worst;
}
