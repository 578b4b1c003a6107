/* SPDX-License-Identifier: MIT */
#include "fs/mount/remount.h"

#include <errno.h>
#include <glob.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "sync/common/buf.h"
#include "sync/common/ctl.h"
#include "sync/common/rundir.h"

#define ANSWER_MS 10000

/* --- the daemon's side --- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_list(const struct strlist *a, const struct strlist *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return a->n == b->n || a->n == 0; /* not given again */
}

/* The first option that differs, or NULL. */
static const char *differs(const struct options *now, const struct options *want)
{
    const struct {
        const char *name;
        bool same;
    } all[] = {
        {"token_file", same_text(now->token_file, want->token_file)},
        {"cafile", same_text(now->cafile, want->cafile)},
        {"insecure_http", now->insecure_http == want->insecure_http},
        {"cache", same_text(now->cache, want->cache)},
        {"cache_size", now->cache_size == want->cache_size},
        {"prefetch", same_text(now->prefetch, want->prefetch)},
        {"offline", same_text(now->offline, want->offline)},
        {"lag_limit", now->lag_limit == want->lag_limit},
        {"isolated_grace", now->isolated_grace == want->isolated_grace},
        {"import_age", now->import_age == want->import_age},
        {"check_every", now->check_every == want->check_every},
        {"check_url", same_text(now->check_url, want->check_url)},
        {"check_text", same_text(now->check_text, want->check_text)},
        {"monitor", same_text(now->monitor, want->monitor)},
        {"private", same_list(&now->private, &want->private)},
        {"on_change", same_list(&now->on_change, &want->on_change)},
        {"on_change_user", same_text(now->on_change_user, want->on_change_user)},
        {"allow_other", now->allow_other == want->allow_other},
        {"uid", same_text(now->uid, want->uid)},
        {"gid", same_text(now->gid, want->gid)},
        {"umask", now->umask == want->umask},
        {"context", !want->flags.contexts},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (!all[i].same)
            return all[i].name;
    return NULL;
}

int remount_check(const struct options *now, const char *list, bool *read_only, struct err *e)
{
    struct options want;
    const char *name;
    int r;

    options_copy(&want, now); /* only what is named can differ */
    want.remount = true;
    r = options_list(&want, list, false, e);
    name = r < 0 ? NULL : differs(now, &want);
    if (name)
        r = err_set(e, EINVAL,
                    "option '%s' cannot be changed while mounted: unmount, and mount again", name);
    if (r == 0)
        *read_only = want.read_only;
    options_release(&want);
    return r;
}

/* --- the caller's side --- */

static int ask(const char *socket, const char *cmd, const char *options, bool apply, json_t **ret,
               struct err *e)
{
    json_t *request = json_pack("{s:s}", "cmd", cmd);
    int r;

    if (options) {
        json_object_set_new(request, "options", json_string(options));
        json_object_set_new(request, "apply", json_boolean(apply));
    }
    r = ctl_call(socket, request, ANSWER_MS, ret, e);
    json_decref(request);
    return r;
}

/* The control socket of the mount on `point`; malloc'd, or NULL. */
static char *find_socket(const char *rundir, const char *point)
{
    char *pattern = xasprintf("%s/mount-*.sock", rundir), *found = NULL;
    glob_t g = {0};

    glob(pattern, 0, NULL, &g);
    for (size_t i = 0; i < g.gl_pathc && !found; i++) {
        json_t *status = NULL;
        const char *at;

        if (ask(g.gl_pathv[i], "status", NULL, false, &status, NULL) < 0)
            continue;
        at = json_string_value(json_object_get(status, "mountpoint"));
        if (at && strcmp(at, point) == 0)
            found = xstrdup(g.gl_pathv[i]);
        json_decref(status);
    }
    globfree(&g);
    free(pattern);
    return found;
}

static int tell(const char *socket, const char *list, bool apply, struct err *e)
{
    json_t *answer = NULL;
    const char *text;
    int r = ask(socket, "remount", list, apply, &answer, e);

    if (r == 0 && !json_is_true(json_object_get(answer, "ok"))) {
        text = json_string_value(json_object_get(answer, "error"));
        r = err_set(e, EINVAL, "%s", text ? text : "the mount's daemon refused the remount");
    }
    json_decref(answer);
    return r;
}

int remount_run(const struct options *o, struct err *e)
{
    char *point = realpath(o->point, NULL), *socket = NULL;
    bool closing = (o->flags.on & MS_RDONLY) != 0;
    int r;

    if (!point)
        return err_sys(e, errno, "cannot find '%s'", o->point);
    socket = find_socket(rundir_path(o->rundir), point);
    if (!socket)
        r = err_set(e, ENOENT, "no daemon in '%s' serves a mount on '%s' (option rundir)",
                    rundir_path(o->rundir), point);
    else
        r = tell(socket, o->given, false, e);
    /* The kernel refuses ro while files are open for writing; so writers are stopped before. */
    if (r == 0 && !closing)
        r = tell(socket, o->given, true, e);
    if (r == 0)
        r = kernel_flags_remount(&o->flags, point, e);
    if (r == 0 && closing)
        r = tell(socket, o->given, true, e);
    free(socket);
    free(point);
    return r;
}
