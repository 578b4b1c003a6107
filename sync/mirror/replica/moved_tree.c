/* SPDX-License-Identifier: MIT */
#include "sync/mirror/replica/moved_tree.h"

#include <stdlib.h>

#include "sync/common/buf.h"

void moved_tree_release(struct moves *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].path);
        row_release(&m->v[i].row);
    }
    free(m->v);
}

static int moves_add(void *arg, const char *name, const struct row *row)
{
    struct moves *m = arg;

    if (m->n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 64;
        m->v = xrealloc(m->v, m->cap * sizeof(*m->v));
    }
    m->v[m->n].path = path_join(m->dir, name);
    m->v[m->n].row = *row;
    if (row->target)
        m->v[m->n].row.target = xstrdup(row->target);
    m->n++;
    return 0;
}

int moved_tree_collect(struct moves *m, const char *path, const struct row *v)
{
    char *parent = path_parent(path);
    int rc = 0;

    m->dir = parent;
    moves_add(m, path_base(path), v);
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        if (m->v[i].row.type != ENTRY_DIR)
            continue;
        m->dir = m->v[i].path;
        rc = view_each(m->db, m->v[i].path, 0, true, moves_add, m);
    }
    free(parent);
    return rc;
}
