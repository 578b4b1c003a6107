/* SPDX-License-Identifier: MIT */
#include "sync/common/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"

#define DEFAULT_RUNDIR "/run/eefs"

const char *rundir_path(const char *option)
{
    const char *env;

    if (option)
        return option;
    env = getenv("EEFS_RUNDIR");
    return env && *env ? env : DEFAULT_RUNDIR;
}

int rundir_ensure(const char *rundir, struct err *e)
{
    int r = file_mkdirs(rundir, 0755);

    if (r < 0)
        return err_sys(e, -r, "cannot create the run directory '%s'", rundir);
    return 0;
}

char *rundir_file(const char *rundir, const char *kind, const char *name, const char *suffix)
{
    char *path, *p;
    size_t skip;

    while (*name == '/')
        name++;
    skip = (size_t)snprintf(NULL, 0, "%s/%s-", rundir, kind);
    path = xasprintf("%s/%s-%s.%s", rundir, kind, name, suffix);
    for (p = path + skip; *p; p++)
        if (*p == '/')
            *p = '-';
    return path;
}

/* "…/mount-x.sock" → "…/mount-x.at" */
static char *note_of(const char *socket)
{
    size_t n = strlen(socket), cut = n > 5 && strcmp(socket + n - 5, ".sock") == 0 ? 5 : 0;

    return xasprintf("%.*s.at", (int)(n - cut), socket);
}

int rundir_note_point(const char *socket, const char *point)
{
    char *note = note_of(socket), *fresh = xasprintf("%s~", note);
    int r = 0;

    unlink(fresh);
    if (symlink(point, fresh) < 0 || rename(fresh, note) < 0)
        r = -errno;
    free(fresh);
    free(note);
    return r;
}

char *rundir_point(const char *socket)
{
    char *note = note_of(socket), target[PATH_MAX];
    ssize_t n = readlink(note, target, sizeof(target) - 1);

    free(note);
    return n > 0 ? xstrndup(target, (size_t)n) : NULL;
}

static bool is_kind(const char *file, const char *kind, const char *suffix)
{
    size_t n = strlen(file), k = strlen(kind), x = strlen(suffix);

    return n > k + x + 2 && strncmp(file, kind, k) == 0 && file[k] == '-' &&
           file[n - x - 1] == '.' && strcmp(file + n - x, suffix) == 0;
}

void rundir_each(const char *rundir, const char *kind, const char *suffix,
                 void (*fn)(void *arg, const char *path), void *arg)
{
    struct dirent **all = NULL;
    int n = scandir(rundir, &all, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        if (is_kind(all[i]->d_name, kind, suffix)) {
            char *path = xasprintf("%s/%s", rundir, all[i]->d_name);

            fn(arg, path);
            free(path);
        }
        free(all[i]);
    }
    free(all);
}
