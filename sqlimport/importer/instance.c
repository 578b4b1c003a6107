/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/instance.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/ctl.h"
#include "sync/common/mounts.h"
#include "sync/common/rundir.h"

#define ASK_TIMEOUT_MS 3000

/* Path of `path` below the folder `top`, or NULL. */
static const char *below(const char *path, const char *top)
{
    size_t n = strlen(top);

    while (n > 0 && top[n - 1] == '/')
        n--;
    if (strncmp(path, top, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    return path[n] ? path + n + 1 : "";
}

struct innermost {
    const char *real;
    char *point;
    bool ours;
};

static void note(void *arg, const struct mounts_entry *m)
{
    struct innermost *in = arg;

    if (!below(in->real, m->point) || (in->point && strlen(m->point) < strlen(in->point)))
        return;
    free(in->point);
    in->point = xstrdup(m->point);
    in->ours = strcmp(m->type, MOUNTS_EEFS) == 0;
}

/* Mountpoint (malloc'd) of the innermost mount that holds `real`, if that is an eefs one. */
static char *eefs_mountpoint(const char *real)
{
    struct innermost in = {real, NULL, false};

    (void)mounts_each(note, &in);
    if (!in.ours) {
        free(in.point);
        in.point = NULL;
    }
    return in.point;
}

struct instance {
    const char *point;
    char *socket;
};

static void ask_instance(void *arg, const char *path)
{
    struct instance *in = arg;
    json_t *request = json_pack("{s:s}", "cmd", "status"), *answer = NULL;
    const char *point;

    if (!in->socket && ctl_call(path, request, ASK_TIMEOUT_MS, &answer, NULL) == 0) {
        point = json_string_value(json_object_get(answer, "mountpoint"));
        if (point && strcmp(point, in->point) == 0)
            in->socket = xstrdup(path);
    }
    json_decref(answer);
    json_decref(request);
}

/* Socket (malloc'd) of the instance at `mountpoint`, or NULL. */
static char *instance_socket(const char *rundir, const char *mountpoint)
{
    struct instance in = {mountpoint, NULL};

    rundir_each(rundir, "mount", "sock", ask_instance, &in);
    return in.socket;
}

int instance_locate(const char *dir, const char *rundir, char **ret_socket, char **ret_path,
                    struct err *e)
{
    char *real = realpath(dir, NULL), *point = NULL, *sock = NULL;
    int r = 0;

    if (!real)
        return err_sys(e, errno, "cannot find the slot '%s'", dir);
    point = eefs_mountpoint(real);
    if (point) {
        sock = instance_socket(rundir, point);
        if (sock) {
            *ret_path = xstrdup(below(real, point));
            *ret_socket = sock;
            r = 1;
        } else {
            r = err_set(e, ENOTCONN,
                        "the mount at '%s' does not answer on its control socket in '%s'; check "
                        "the mount, and --rundir",
                        point, rundir);
        }
    }
    free(point);
    free(real);
    return r;
}
