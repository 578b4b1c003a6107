/* SPDX-License-Identifier: MIT */
#include "sync/master/publish/rename_rows.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/visible.h"
#include "sync/master/publish/publish.h"

int rename_rows_put(struct master *m, const struct row *from, const char *to, const struct stat *st)
{
    struct row row = *from, old = {0};
    int r;

    memset(&row.e.data, 0, sizeof(row.e.data));
    entry_copy(&row.e, &from->e);
    free(row.e.path);
    free(row.e.moved_from);
    row.e.path = xstrdup(to);
    row.e.moved_from = xstrdup(from->e.path);
    if ((int64_t)st->st_ino == from->ino && file_mtime_ns(st) == from->e.mtime &&
        (from->e.type != ENTRY_FILE || st->st_size == from->e.size)) {
        row_from_stat(&row, st);
    } else {
        row.ctime = 0;
        scan_queue_push(m->folder->scan_queue, to, SCAN_FORCE, 0);
    }
    r = tree_get(m->tree->db, to, &old);
    if (r == 1 && old.e.type == ENTRY_DIR)
        r = tree_remove(m->tree, to);
    if (r >= 0)
        r = publish_parents(m, to);
    if (r >= 0)
        r = tree_put(m->tree, &row);
    row_release(&old);
    row_release(&row);
    return r < 0 ? r : 0;
}

/* True when the row may be moved to `to`: it was made from the file there, and the tree has no
 * other row of that path. */
static bool is_there(struct master *m, const struct row *row, const char *to)
{
    struct row old = {0};
    struct stat st;
    bool yes = tree_get(m->tree->db, to, &old) == 0 || old.e.type == ENTRY_GONE;

    row_release(&old);
    if (!yes || visible_lstat(m->folder, to, &st) < 0)
        return false;
    return row->e.type == ENTRY_DIR ? S_ISDIR(st.st_mode) && (int64_t)st.st_ino == row->ino
                                    : row_matches(row, &st);
}

void lost_files_release(struct lost_files *l)
{
    for (size_t i = 0; i < l->n; i++)
        row_release(&l->v[i]);
    free(l->v);
    memset(l, 0, sizeof(*l));
}

/* Takes the row, with the path that it had. */
static void lose(struct lost_files *l, struct row *row)
{
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 16;
        l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
    }
    free(row->e.path);
    row->e.path = row->e.moved_from;
    row->e.moved_from = NULL;
    l->v[l->n++] = *row;
    memset(row, 0, sizeof(*row));
}

int rename_rows_move(struct master *m, const char *from, const char *to, struct op_answer *a,
                     struct lost_files *lost)
{
    struct row *rows;
    size_t n, skip = strlen(from) + 1;
    int r = tree_below(m->tree->db, from, &rows, &n);

    if (r == 0)
        r = tree_remove(m->tree, from);
    for (size_t i = 0; i < n; i++) {
        char *old = rows[i].e.path, *path = path_join(to, old + skip);

        rows[i].e.path = path;
        free(rows[i].e.moved_from);
        rows[i].e.moved_from = old;
        if (r >= 0 && strlen(path) > EEFS_PATH_MAX) {
            ; /* no mirror could hold it; the next scan reports it */
        } else if (r >= 0 && lost && !is_there(m, &rows[i], path)) {
            scan_queue_push(m->folder->scan_queue, path, SCAN_DEEP, 0);
            if (rows[i].e.type == ENTRY_FILE)
                lose(lost, &rows[i]);
        } else if (r >= 0) {
            r = tree_put(m->tree, &rows[i]);
            if (r == 0 && a) {
                struct entry gone = {.path = old, .seq = rows[i].e.seq};

                op_answer_add(a, &gone);
                op_answer_add(a, &rows[i].e);
            }
        }
        row_release(&rows[i]);
    }
    free(rows);
    return r < 0 ? r : 0;
}
