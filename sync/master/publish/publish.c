/* SPDX-License-Identifier: MIT */
#include "sync/master/publish/publish.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/visible.h"

int publish_parents(struct master *m, const char *path)
{
    char *dir = path_parent(path);
    struct row row = {0};
    struct stat st;
    int r = 0;

    if (*dir) {
        r = tree_get(m->tree->db, dir, &row);
        if (r == 1 && row.e.type == ENTRY_DIR) {
            r = 0;
        } else if (r >= 0) {
            bool live = r == 1 && row.e.type != ENTRY_GONE;
            row_release(&row);
            r = publish_parents(m, dir);
            if (r == 0)
                r = visible_lstat(m->folder, dir, &st);
            if (r == 0 && live)
                r = tree_remove(m->tree, dir);
            if (r >= 0) {
                row.e.path = xstrdup(dir);
                row_from_stat(&row, &st);
                r = tree_put(m->tree, &row);
            }
        }
    }
    row_release(&row);
    free(dir);
    return r;
}

static bool published_same(const struct row *a, const struct row *b)
{
    if (a->e.type != b->e.type)
        return false;
    if (a->e.type == ENTRY_DIR)
        return a->e.mode == b->e.mode && a->e.mtime == b->e.mtime;
    if (a->e.type == ENTRY_LINK)
        return a->e.target && b->e.target && strcmp(a->e.target, b->e.target) == 0 &&
               a->e.mtime == b->e.mtime;
    return a->e.size == b->e.size && a->e.mtime == b->e.mtime && a->e.mode == b->e.mode &&
           hash_eq(&a->e.hash, &b->e.hash);
}

int publish(struct master *m, const char *path, const struct stat *st, const struct hash *hash,
            const char *target, int64_t seen, const char *moved_from)
{
    struct row old = {0}, row = {0};
    int r = tree_get(m->tree->db, path, &old);

    if (r < 0)
        return r;
    row.e.path = xstrdup(path);
    row_from_stat(&row, st);
    if (hash && row.e.type == ENTRY_FILE)
        row.e.hash = *hash;
    if (target && row.e.type == ENTRY_LINK)
        row.e.target = xstrdup(target);
    row.seen = seen;
    row.e.hides = row.e.type == ENTRY_DIR && old.e.hides;
    if (r == 1 && published_same(&old, &row)) {
        row.e.seq = old.e.seq;
        row.e.moved_from = old.e.moved_from;
        old.e.moved_from = NULL;
        r = tree_touch(m->tree, &row);
    } else {
        if (moved_from) {
            row.e.moved_from = xstrdup(moved_from);
        } else if (r == 1 && old.e.type == ENTRY_DIR && row.e.type == ENTRY_DIR &&
                   old.ino == row.ino) { /* a change in the folder is no reason to drop the hint */
            row.e.moved_from = old.e.moved_from;
            old.e.moved_from = NULL;
        }
        if (r == 1 && old.e.type == ENTRY_DIR && row.e.type != ENTRY_DIR)
            r = tree_remove(m->tree, path);
        if (r >= 0)
            r = publish_parents(m, path);
        if (r >= 0)
            r = tree_put(m->tree, &row);
    }
    row_release(&row);
    row_release(&old);
    return r;
}

int publish_hides(struct master *m, const char *path, bool hides)
{
    struct row row = {0};
    int r = tree_get(m->tree->db, path, &row);

    if (r == 1 && row.e.type == ENTRY_DIR && row.e.hides != hides) {
        row.e.hides = hides;
        r = tree_put(m->tree, &row);
    }
    row_release(&row);
    return r < 0 ? r : 0;
}

static int publish_folder(struct master *m, const char *dir)
{
    struct row row = {0};
    struct stat st;
    int r = tree_get(m->tree->db, dir, &row);
    bool changed = r == 1 && row.e.type == ENTRY_DIR && visible_lstat(m->folder, dir, &st) == 0 &&
                   S_ISDIR(st.st_mode) && row.e.mtime != file_mtime_ns(&st);

    row_release(&row);
    if (r < 0 || !changed)
        return r < 0 ? r : 0;
    return publish(m, dir, &st, NULL, NULL, 0, NULL);
}

int publish_folders(struct master *m)
{
    struct strlist dirs = m->tree->touched;
    int r = 0;

    m->tree->touched = (struct strlist){NULL, 0};
    for (size_t i = 0; i < dirs.n && r == 0; i++)
        if (*dirs.v[i])
            r = publish_folder(m, dirs.v[i]);
    strlist_release(&dirs);
    return r;
}
