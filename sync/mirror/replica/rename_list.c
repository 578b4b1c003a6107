/* SPDX-License-Identifier: MIT */
#include "sync/mirror/replica/rename_list.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

void master_renames_add(struct master_renames *m, const char *from, const char *to, bool folder)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 16;
        m->v = xrealloc(m->v, m->cap * sizeof(*m->v));
    }
    m->v[m->n++] = (struct master_rename){xstrdup(from), xstrdup(to), folder, false, {0}};
}

void master_renames_release(struct master_renames *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].from);
        free(m->v[i].to);
        row_release(&m->v[i].was);
    }
    free(m->v);
    *m = (struct master_renames){0};
}

static int by_to(const void *a, const void *b)
{
    return strcmp(((const struct master_rename *)a)->to, ((const struct master_rename *)b)->to);
}

void master_renames_sort(struct master_renames *m)
{
    if (m->n > 0)
        qsort(m->v, m->n, sizeof(*m->v), by_to);
}

const struct row *master_renames_row(const struct master_renames *m, const char *path)
{
    struct master_rename key = {.to = (char *)(uintptr_t)path};
    const struct master_rename *found =
        m->n ? bsearch(&key, m->v, m->n, sizeof(*m->v), by_to) : NULL;

    return found && found->was.exists ? &found->was : NULL;
}
