/* SPDX-License-Identifier: MIT */
#include "fs/mount/kernel_flags.h"

#include <errno.h>
#include <fuse_opt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "sync/common/buf.h"
#include "sync/common/mounts.h"

#ifndef MS_NOSYMFOLLOW /* since Linux 5.10 */
#define MS_NOSYMFOLLOW 256
#endif

static const struct {
    const char *on, *off;
    unsigned long flag;
    bool fuse; /* libfuse and fusermount3 know it */
    const char
        *shown; /* shown in mountinfo while it is set; NULL: shown by the absence of its opposite */
} table[] = {
    {"ro", "rw", MS_RDONLY, true, "ro"},
    {"nosuid", "suid", MS_NOSUID, true, "nosuid"},
    {"nodev", "dev", MS_NODEV, true, "nodev"},
    {"noexec", "exec", MS_NOEXEC, true, "noexec"},
    {"sync", "async", MS_SYNCHRONOUS, true, "sync"},
    {"dirsync", NULL, MS_DIRSYNC, true, "dirsync"},
    {"noatime", "atime", MS_NOATIME, true, "noatime"},
    {"nodiratime", "diratime", MS_NODIRATIME, false, "nodiratime"},
    {"relatime", "norelatime", MS_RELATIME, false, "relatime"},
    {"strictatime", "nostrictatime", MS_STRICTATIME, false, NULL},
    {"lazytime", "nolazytime", MS_LAZYTIME, false, "lazytime"},
    {"nosymfollow", "symfollow", MS_NOSYMFOLLOW, false, "nosymfollow"},
};

static const char *const contexts[] = {"context=", "fscontext=", "defcontext=", "rootcontext="};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

bool kernel_flags_take(struct kernel_flags *f, const char *item)
{
    for (size_t i = 0; i < COUNT(table); i++) {
        if (strcmp(item, table[i].on) == 0) {
            f->on |= table[i].flag;
            f->off &= ~table[i].flag;
            if (f->on & MS_NOATIME) /* as mount(2) has it */
                f->on &= ~(unsigned long)(MS_RELATIME | MS_STRICTATIME);
            return true;
        }
        if (table[i].off && strcmp(item, table[i].off) == 0) {
            f->off |= table[i].flag;
            f->on &= ~table[i].flag;
            return true;
        }
    }
    for (size_t i = 0; i < COUNT(contexts); i++) {
        if (strncmp(item, contexts[i], strlen(contexts[i])) == 0) {
            fuse_opt_add_opt(&f->contexts, item); /* commas in it are escaped already */
            return true;
        }
    }
    return false;
}

void kernel_flags_words(const struct kernel_flags *f, char **list)
{
    for (size_t i = 0; i < COUNT(table); i++) {
        if (table[i].fuse && (f->on & table[i].flag))
            fuse_opt_add_opt(list, table[i].on);
        else if (table[i].fuse && (f->off & table[i].flag))
            fuse_opt_add_opt(list, table[i].off);
    }
    if (f->contexts)
        fuse_opt_add_opt(list, f->contexts);
}

/* --- what is in force --- */

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list) {
        size_t n = strcspn(list, ",");

        if (n == len && strncmp(list, word, len) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

struct look {
    const char *point;
    unsigned long flags;
    bool found;
};

/* Of several on one point the last lies on top. */
static void look_at(void *arg, const struct mounts_entry *m)
{
    struct look *l = arg;

    if (strcmp(m->point, l->point) != 0)
        return;
    l->found = strcmp(m->type, MOUNTS_EEFS) == 0;
    l->flags = 0;
    for (size_t i = 0; i < COUNT(table); i++)
        if (table[i].shown &&
            (has_word(m->flags, table[i].shown) || has_word(m->options, table[i].shown)))
            l->flags |= table[i].flag;
    if (!(l->flags & (MS_RELATIME | MS_NOATIME)))
        l->flags |= MS_STRICTATIME;
}

static int look(const char *point, unsigned long *ret, struct err *e)
{
    struct look l = {point, 0, false};
    int r = mounts_each(look_at, &l);

    if (r < 0)
        return err_sys(e, -r, "cannot read /proc/self/mountinfo");
    if (!l.found)
        return err_set(e, EINVAL, "'%s' is not a mount of eefs", point);
    *ret = l.flags;
    return 0;
}

/* The first option that is not as asked for; NULL: all are. */
static const char *missing(const struct kernel_flags *f, unsigned long now)
{
    for (size_t i = 0; i < COUNT(table); i++) {
        if ((f->on & table[i].flag) && !(now & table[i].flag))
            return table[i].on;
        if ((f->off & table[i].flag) && (now & table[i].flag) && table[i].shown &&
            table[i].flag != MS_RELATIME) /* the kernel's own choice */
            return table[i].off;
    }
    return NULL;
}

static unsigned long wanted(const struct kernel_flags *f, unsigned long now)
{
    const unsigned long times = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

    if (f->on & times)
        now &= ~times;
    return (now & ~f->off) | f->on;
}

static int set(const struct kernel_flags *f, const char *point, unsigned long now, struct err *e)
{
    const char *name = missing(f, now);

    if (mount(NULL, point, NULL, MS_REMOUNT | wanted(f, now), NULL) == 0)
        return 0;
    if (errno == EPERM)
        return err_set(e, EPERM, "option '%s' needs root", name);
    if (errno == EBUSY)
        return err_set(e, EBUSY, "cannot set '%s' on '%s': files are open for writing", name,
                       point);
    return err_sys(e, errno, "cannot set '%s' on '%s'", name, point);
}

static int check(const struct kernel_flags *f, const char *point, struct err *e)
{
    unsigned long now;
    int r = look(point, &now, e);
    const char *name = r < 0 ? NULL : missing(f, now);

    return name ? err_set(e, EINVAL, "the kernel does not apply option '%s' here", name) : r;
}

int kernel_flags_apply(const struct kernel_flags *f, const char *point, struct err *e)
{
    unsigned long now;
    int r = 0;

    if (!(f->on | f->off))
        return 0;
    r = look(point, &now, e);
    if (r == 0 && missing(f, now))
        r = set(f, point, now, e);
    return r < 0 ? r : check(f, point, e);
}

int kernel_flags_remount(const struct kernel_flags *f, const char *point, struct err *e)
{
    if (f->contexts)
        return err_set(e, EINVAL, "option '%s' cannot be changed while mounted", f->contexts);
    return kernel_flags_apply(f, point, e);
}
