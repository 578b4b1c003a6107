/* SPDX-License-Identifier: MIT */
#include "sync/master/ops/unseen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sync/common/buf.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/departures.h"
#include "sync/master/folder/visible.h"
#include "sync/master/publish/renamed.h"

/* 1: the tree has a folder at `path`, and it is there; 0: the tree has none; -ENOENT: it is not
 * there (any more), but perhaps another one; -errno of the database. An error of the disk proves
 * nothing: 1. */
static int folder_is_there(struct master *m, const char *path)
{
    struct row row = {0};
    struct stat st;
    int r = tree_get(m->tree->db, path, &row);

    if (r == 1 && row.e.type != ENTRY_DIR)
        r = 0;
    if (r == 1) {
        int there = visible_lstat(m->folder, path, &st);

        if (there == -ENOENT || (there == 0 && (int64_t)st.st_ino != row.ino))
            r = -ENOENT;
    }
    row_release(&row);
    return r;
}

/* The topmost folder on the way to `path` that is not where the tree has it, in *ret (malloc'd), or NULL. */
static int find_departed(struct master *m, const char *path, char **ret)
{
    char *at = xstrdup(path);
    int r = 0;

    *ret = NULL;
    for (size_t len = strlen(at); len > 0 && r == 0; len = path_parent_len(at)) {
        at[len] = '\0';
        r = folder_is_there(m, at);
        if (r == -ENOENT) {
            free(*ret);
            *ret = xstrdup(at);
            r = 0;
        }
    }
    free(at);
    return r < 0 ? r : 0;
}

static int publish_departed(struct master *m, const char *path)
{
    struct strlist now = {0};
    char *dir;
    int r = find_departed(m, path, &dir);

    if (r == 0 && dir)
        departures_of(m->departures, dir, DEPARTURES_MS, &now);
    for (size_t i = 0; r == 0 && i < now.n; i++)
        r = renamed_folder(m, dir, now.v[i]);
    strlist_release(&now);
    free(dir);
    return r < 0 ? r : 0;
}

/* 1: the operation replaces a file that is not where the tree has it, as *ret; 0: not so; -errno. */
static int find_departed_file(struct master *m, const struct op *op, struct row *ret)
{
    struct stat st;
    int r =
        op->kind == OP_PUT && op->pre.kind == PRE_HASH ? tree_get(m->tree->db, op->path, ret) : 0;

    if (r == 1)
        r = ret->e.type == ENTRY_FILE && hash_eq(&ret->e.hash, &op->pre.hash) &&
            visible_lstat(m->folder, op->path, &st) == -ENOENT;
    if (r != 1)
        row_release(ret);
    return r;
}

int unseen_renames(struct master *m, const struct op *op)
{
    struct row was = {0};
    int file = find_departed_file(m, op, &was), r = file;

    if (r >= 0)
        r = publish_departed(m, op->path);
    if (r == 0 && op->to)
        r = publish_departed(m, op->to);
    if (r == 0 && file == 1) /* last: it may be in a folder that has another name, too */
        r = renamed_departed(m, &was);
    row_release(&was);
    return r;
}
