/* SPDX-License-Identifier: MIT */
#include "fs/file/backing.h"

#include <stdlib.h>
#include <unistd.h>

#include "sync/common/buf.h"

struct file *file_new(int fd)
{
    struct file *f = xcalloc(1, sizeof(*f));

    f->fd = fd;
    f->refs = 1;
    return f;
}

struct file *file_ref_locked(struct file *f)
{
    f->refs++;
    return f;
}

void file_unref_locked(struct file *f)
{
    if (!f || --f->refs > 0)
        return;
    close(f->fd);
    free(f);
}

void idle_put_locked(struct idle_files *l, struct file **slot, struct file *f)
{
    f->slot = slot;
    *slot = f;
    f->newer = NULL;
    f->older = l->newest;
    if (l->newest)
        l->newest->newer = f;
    else
        l->oldest = f;
    l->newest = f;
    l->n++;
    idle_trim_locked(l, l->max);
}

struct file *idle_take_locked(struct idle_files *l, struct file **slot)
{
    struct file *f = *slot;

    if (!f)
        return NULL;
    *(f->newer ? &f->newer->older : &l->newest) = f->older;
    *(f->older ? &f->older->newer : &l->oldest) = f->newer;
    l->n--;
    f->slot = NULL;
    *slot = NULL;
    return f;
}

void idle_drop_locked(struct idle_files *l, struct file **slot)
{
    file_unref_locked(idle_take_locked(l, slot));
}

void idle_yield_locked(struct idle_files *l, int fd)
{
    if ((size_t)fd >= l->max + l->max / 2)
        idle_trim_locked(l, l->n / 2);
}

void idle_trim_locked(struct idle_files *l, size_t n)
{
    while (l->n > n)
        idle_drop_locked(l, l->oldest->slot);
}
