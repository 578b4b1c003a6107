/* SPDX-License-Identifier: MIT */
#include "sync/mirror/replica/rename_list.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

void renamings_add(struct renamings *m, const char *from, const char *to, bool folder)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 16;
        m->v = xrealloc(m->v, m->cap * sizeof(*m->v));
    }
    m->v[m->n++] = (struct renaming){xstrdup(from), xstrdup(to), folder, false, {0}};
}

void renamings_release(struct renamings *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].from);
        free(m->v[i].to);
        row_release(&m->v[i].was);
    }
    free(m->v);
    *m = (struct renamings){0};
}

static int by_to(const void *a, const void *b)
{
    return strcmp(((const struct renaming *)a)->to, ((const struct renaming *)b)->to);
}

void renamings_sort(struct renamings *m)
{
    if (m->n > 0)
        qsort(m->v, m->n, sizeof(*m->v), by_to);
}

const struct row *renamings_row(const struct renamings *m, const char *path)
{
    struct renaming key = {.to = (char *)(uintptr_t)path};
    const struct renaming *found = m->n ? bsearch(&key, m->v, m->n, sizeof(*m->v), by_to) : NULL;

    return found && found->was.exists ? &found->was : NULL;
}
