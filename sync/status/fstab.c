/* SPDX-License-Identifier: MIT */
#include "sync/status/fstab.h"

#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/mounts.h"

#define LINE_CAP 8192

/* What the kernel has at one place. */
struct place {
    const char *point;
    bool eefs, automounter;
    bool inside; /* an eefs mount holds it */
};

static void look_at(void *arg, const struct mounts_entry *m)
{
    struct place *p = arg;
    size_t n = strlen(m->point);
    bool ours = strcmp(m->type, MOUNTS_EEFS) == 0;

    if (strcmp(m->point, p->point) == 0) {
        p->eefs |= ours;
        p->automounter |= strcmp(m->type, "autofs") == 0;
    } else if (ours && strncmp(p->point, m->point, n) == 0 && p->point[n] == '/') {
        p->inside = true;
    }
}

static struct place place_of(const char *point)
{
    struct place p = {.point = point};

    (void)mounts_each(look_at, &p);
    return p;
}

/* The mountpoint as the kernel names it: without a slash at the end, and with the links of the
 * folders above it followed. malloc'd. */
static char *kernel_name(const char *dir)
{
    char *point = xstrdup(dir), *slash, *parent, *real = NULL;

    for (size_t n = strlen(point); n > 1 && point[n - 1] == '/'; n--)
        point[n - 1] = '\0';
    slash = strrchr(point, '/');
    if (!slash || slash == point || place_of(point).inside)
        return point;
    parent = xstrndup(point, (size_t)(slash - point));
    if (!place_of(parent).eefs)
        real = realpath(parent, NULL);
    free(parent);
    if (real) {
        char *whole = xasprintf("%s%s", strcmp(real, "/") == 0 ? "" : real, slash);

        free(real);
        free(point);
        point = whole;
    }
    return point;
}

void fstab_unmounted(fstab_fn *fn, void *arg)
{
    const char *file = getenv("LIBMOUNT_FSTAB");
    FILE *f = setmntent(file && *file ? file : "/etc/fstab", "re");
    char line[LINE_CAP];
    struct mntent m;

    while (f && getmntent_r(f, &m, line, sizeof(line))) {
        char *point;
        struct place p;

        if ((strcmp(m.mnt_type, "eefs") != 0 && strcmp(m.mnt_type, MOUNTS_EEFS) != 0) ||
            *m.mnt_dir != '/')
            continue;
        point = kernel_name(m.mnt_dir);
        p = place_of(point);
        if (!p.eefs && (p.automounter || !hasmntopt(&m, "noauto")))
            fn(arg, m.mnt_fsname, point, p.automounter);
        free(point);
    }
    if (f)
        endmntent(f);
}
