/* SPDX-License-Identifier: MIT */
#include "sync/master/ops/rename.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/ops/current.h"
#include "sync/master/folder/carry.h"
#include "sync/master/folder/conflict.h"
#include "sync/master/folder/replace.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/ops/intent_log.h"
#include "sync/master/db/renames.h"
#include "sync/master/publish/rename_rows.h"
#include "sync/master/folder/install.h"
#include "sync/master/folder/staging.h"
#include "sync/master/publish/publish.h"
#include "sync/master/folder/volume.h"
#include "sync/master/folder/visible.h"
#include "sync/proto/wire.h"

/* 0; -ENAMETOOLONG: something in the folder would get a path that no side can hold. */
static int check_depth(struct apply *j, const char *from, const char *to)
{
    struct row *rows;
    size_t n;
    int r = apply_db(j, tree_below(j->m->tree->db, from, &rows, &n));

    for (size_t i = 0; i < n; i++) {
        if (r == 0 && strlen(rows[i].e.path) - strlen(from) + strlen(to) > EEFS_PATH_MAX)
            r = -ENAMETOOLONG;
        row_release(&rows[i]);
    }
    free(rows);
    return r;
}

/* Renames on disk; `over` is the entry that is there and may be replaced. */
static int rename_file(struct apply *j, const struct row *from, const char *to,
                       const struct row *over)
{
    int a = staging_open_parent(j->m->folder, from->e.path), b = -1, r = a < 0 ? a : 0;
    bool gone = !over || over->e.type == ENTRY_GONE;
    const char *base = path_base(from->e.path);

    if (r == 0)
        r = install_parents(j->m->folder, to);
    if (r == 0)
        r = b = staging_open_parent(j->m->folder, to);
    if (r >= 0 && !gone && over->e.type == ENTRY_FILE)
        r = replace_rename(j->m->folder, a, base, b, to, over, &from->e.hash);
    else if (r >= 0 && gone)
        r = file_rename_new(a, base, b, path_base(to));
    else if (r >= 0)
        r = renameat(a, base, b, path_base(to)) < 0 ? -errno : 0;
    crash_point("master.rename.renamed");
    if (r == 0)
        r = file_sync_dir(b);
    if (r == 0)
        r = file_sync_dir(a);
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
    return r;
}

static bool lies_with(const struct master *m, const char *a, const char *b)
{
    char *x = volume_top(m->folder, a), *y = volume_top(m->folder, b);
    bool same = x && y && strcmp(x, y) == 0;

    free(x);
    free(y);
    return same;
}

/* A link is made anew. */
static int link_across(struct apply *j, const struct row *from, const char *to,
                       const struct row *over)
{
    int dir = staging_open_parent(j->m->folder, to), r;
    char tmp[STAGING_NAME_CAP];

    if (dir < 0)
        return dir;
    staging_name(tmp);
    r = staging_link(j->m->folder, tmp, from->e.target, &from->e.mtime);
    if (r == 0 && over && over->e.type != ENTRY_GONE)
        r = replace_file(j->m->folder, tmp, dir, to, over, &from->e.hash);
    else if (r == 0)
        r = file_rename_new(root_staging_fd(j->m->folder->root), tmp, dir, path_base(to));
    if (r < 0 && *tmp)
        staging_discard(j->m->folder, tmp);
    if (r == 0)
        r = file_sync_dir(dir);
    close(dir);
    return r;
}

static bool is_same(const struct row *a, const struct row *b)
{
    if (a->e.type != b->e.type)
        return false;
    return a->e.type == ENTRY_LINK ? strcmp(a->e.target, b->e.target) == 0
                                   : hash_eq(&a->e.hash, &b->e.hash);
}

/* The new file is there, or was by an earlier run: then `over` has its content. */
static int place_across(struct apply *j, const struct row *from, const char *to,
                        const struct row *over)
{
    static const struct row nothing;
    const struct install_attr a = {(mode_t)from->e.mode, 0, from->e.mtime, from->e.path};
    bool there = over && is_same(over, from);
    char tmp[STAGING_NAME_CAP];
    struct stat st;
    int r = there ? 0 : install_parents(j->m->folder, to);

    if (r == 0 && !there)
        r = volume_enter(j->m->folder, to);
    if (there || r < 0)
        return r;
    if (from->e.type == ENTRY_LINK)
        return link_across(j, from, to, over);
    staging_name(tmp);
    r = carry_copy(j->m->folder, j->carry, j->op->n, &from->e.hash, from->e.size, from->e.path, to,
                   tmp);
    if (r < 0)
        return r == -ENOENT ? -EBUSY : r;
    r = install_file(j->m->folder, tmp, to, over ? over : &nothing, &a, &from->e.hash, &st);
    if (r < 0)
        staging_discard(j->m->folder, tmp);
    return r;
}

/* Removes `from` within its own volume; the target's is entered again afterwards. */
static int take_away(struct apply *j, const struct row *from, const char *to)
{
    int r = volume_enter(j->m->folder, from->e.path), r2;
    int dir = r < 0 ? r : staging_open_parent(j->m->folder, from->e.path);

    if (dir >= 0) {
        r = replace_remove(j->m->folder, dir, from->e.path, from);
        if (r == 0)
            r = file_sync_dir(dir);
        close(dir);
    } else {
        r = dir;
    }
    r2 = volume_enter(j->m->folder, to);
    return r < 0 ? r : r2;
}

/*
 * A file or link that gets a name on another filesystem is copied. Without a note: killed in
 * between, both are there, and the repeated operation finds the copy in place.
 */
static int move_across(struct apply *j, const struct row *from, const char *to,
                       const struct row *over)
{
    int r = from->e.type == ENTRY_DIR ? -EXDEV : place_across(j, from, to, over);

    if (r < 0)
        return r;
    crash_point("master.rename.copied");
    return take_away(j, from, to);
}

static int rename_to(struct apply *j, const struct row *from, const char *to,
                     const struct row *over, enum op_result result)
{
    struct stat st;
    bool across = !lies_with(j->m, from->e.path, to);
    int r = from->e.type == ENTRY_DIR ? check_depth(j, from->e.path, to) : 0;

    if (r == 0 && !across)
        r = intent_log_note(j, NULL, to, result);

    if (r == 0)
        r = across ? move_across(j, from, to, over) : rename_file(j, from, to, over);
    if (r == 0)
        r = visible_lstat(j->m->folder, to, &st);
    if (r < 0)
        return r;
    if (from->e.type == ENTRY_DIR) {
        r = apply_db(j, rename_rows_move(j->m, from->e.path, to, j->a, NULL));
        if (r == 0)
            r = apply_publish(j, to, &st, NULL, NULL, 0, from->e.path);
        if (r == 0)
            r = apply_db(j,
                         renames_add(j->m->tree->db, j->m->tree->seq, from->e.path, to, j->outbox));
    } else {
        r = apply_db(j, tree_remove(j->m->tree, from->e.path));
        if (r == 0)
            r = apply_db(j, rename_rows_put(j->m, from, to, &st));
    }
    if (r == 0)
        r = apply_tell(j, from->e.path);
    return r < 0 ? r : apply_tell(j, to);
}

static int rename_nothing(struct apply *j, const struct row *from, const struct row *to)
{
    const struct op *op = j->op;
    /* Made before, by a request whose outcome was lost? */
    bool made = from->e.type == ENTRY_GONE && to->e.type != ENTRY_GONE && pre_holds(&op->pre, to);
    int r;

    apply_answer(j, made ? RESULT_DONE : RESULT_KEPT, NULL, NULL);
    r = apply_tell(j, op->path);
    return r < 0 ? r : apply_tell(j, op->to);
}

/* Takes the file or link `from` out of the folder. */
static int take_out(struct apply *j, const struct row *from)
{
    int dir = staging_open_parent(j->m->folder, from->e.path), r = dir < 0 ? dir : 0;

    if (r == 0)
        r = replace_remove(j->m->folder, dir, from->e.path, from);
    if (r == 0)
        r = file_sync_dir(dir);
    if (dir >= 0)
        close(dir);
    if (r == 0)
        r = apply_db(j, tree_remove(j->m->tree, from->e.path));
    return r;
}

/* A copy of the file `from` as `tmp` in the folder of --conflicts, which is entered. */
static int stage_outside(struct apply *j, const struct row *from, char *tmp)
{
    int r = volume_enter(j->m->folder, NULL);

    staging_name(tmp);
    if (r == 0)
        r = carry_copy(j->m->folder, j->carry, j->op->n, &from->e.hash, from->e.size, from->e.path,
                       NULL, tmp);
    return r == -ENOENT ? -EBUSY : r;
}

/* A file or link goes into the folder of --conflicts; a folder, or a file that is written at this
 * moment, keeps its name. */
static int rename_outside(struct apply *j, const struct row *from)
{
    const struct op *op = j->op;
    struct conflict_like like = {&from->e.hash, from->e.target, from->e.size};
    enum op_result result = RESULT_CONFLICT;
    char tmp[STAGING_NAME_CAP] = "";
    int r = 0;

    if (from->e.type == ENTRY_FILE)
        r = stage_outside(j, from, tmp);
    if (r == 0 && from->e.type != ENTRY_DIR)
        r = conflict_outside(j->m->folder, *tmp ? tmp : NULL, op->to, j->who->name,
                             (mode_t)(from->e.mode & 0777), from->e.mtime, like, &j->a->place);
    staging_discard(j->m->folder, tmp);
    if (r == 0 && from->e.type != ENTRY_DIR)
        r = volume_enter(j->m->folder, from->e.path);
    if (r == 0 && from->e.type != ENTRY_DIR)
        r = take_out(j, from);
    if (r == -EBUSY || from->e.type == ENTRY_DIR) {
        free(j->a->place);
        j->a->place = NULL;
        result = RESULT_KEPT;
        r = 0;
    }
    if (r == 0)
        r = apply_tell(j, op->path);
    if (r == 0)
        r = apply_tell(j, op->to);
    return r < 0 ? r : apply_answer(j, result, NULL, NULL);
}

static int rename_to_copy(struct apply *j, const struct row *from)
{
    const struct conflict_like nothing = {NULL, NULL, 0};
    bool there;
    char *copy;
    int r;

    r = intent_log_withdraw(j); /* that said where else it would go */
    if (r < 0)
        return r;
    if (j->m->folder->conflicts)
        return rename_outside(j, from);
    copy = conflict_path(j->m->folder, j->op->to, j->who->name, from->e.mtime, nothing, &there);
    if (!apply_copy_allowed(j, copy, &r)) {
        free(copy);
        return r;
    }
    return apply_conflict(j, copy, rename_to(j, from, copy, NULL, RESULT_CONFLICT));
}

/* Killed between the exchange and the end of a rename over a file: each has the other's place. */
static bool is_exchanged(const struct op *op, const struct row *from, const struct row *to)
{
    return op->pre.kind == PRE_HASH && op->to_pre.kind == PRE_HASH &&
           !hash_eq(&op->pre.hash, &op->to_pre.hash) && pre_holds(&op->to_pre, from) &&
           pre_holds(&op->pre, to);
}

/* What was to be replaced is taken out. */
static int finish_exchanged(struct apply *j, const struct row *from)
{
    int r = take_out(j, from);

    if (r == 0)
        r = apply_tell(j, j->op->path);
    return r < 0 ? r : apply_tell(j, j->op->to);
}

int rename_finish(struct apply *j, int64_t over)
{
    const struct op *op = j->op;
    struct row left = {0};
    int r = current_row(j, op->path, &left);

    /* Edited since, it stays. */
    if (r == 0 && left.e.type == ENTRY_FILE && left.ino == over &&
        (pre_holds(&op->to_pre, &left) || pre_holds(&op->pre, &left)))
        r = take_out(j, &left);
    row_release(&left);
    return r == -EBUSY ? 0 : r;
}

/* True when the folder holds names that are excluded at one of the two paths only. */
static bool hides_below(const struct master *m, const struct op *op)
{
    const struct strlist *exclude = &m->folder->exclude->list;

    for (size_t i = 0; i < exclude->n; i++)
        if (path_matches_below(exclude->v[i], op->path) ||
            path_matches_below(exclude->v[i], op->to))
            return true;
    return false;
}

int rename_op(struct apply *j)
{
    const struct op *op = j->op;
    struct row from = {0}, to = {0};
    bool kind_ok, same, busy = false;
    int r = current_row(j, op->path, &from);

    /* Who writes it goes on writing under the new name. */
    if (r == -EBUSY && from.e.type == ENTRY_FILE)
        r = 0;
    if (r == 0) {
        r = current_row(j, op->to, &to);
        busy = r == -EBUSY;
    }
    if (r < 0 && !busy)
        goto out;
    kind_ok = op->pre.kind == PRE_DIR    ? from.e.type == ENTRY_DIR
              : op->pre.kind == PRE_LINK ? from.e.type == ENTRY_LINK
                                         : from.e.type == ENTRY_FILE;
    if (from.e.type == ENTRY_GONE || !kind_ok) {
        r = rename_nothing(j, &from, &to);
        goto out;
    }
    if (from.e.type == ENTRY_DIR && hides_below(j->m, op)) {
        r = apply_refuse(j, WIRE_R_SCOPE,
                         "the folder holds names that are excluded at only one of the two paths; "
                         "copy the files instead of renaming the folder");
        goto out;
    }
    if (!busy && is_exchanged(op, &from, &to)) {
        r = finish_exchanged(j, &from);
        goto out;
    }
    same =
        from.e.type == ENTRY_FILE && to.e.type == ENTRY_FILE && hash_eq(&from.e.hash, &to.e.hash);
    if (!busy && (to.e.type == ENTRY_GONE || same ||
                  (op->to_pre.kind != PRE_NONE && pre_holds(&op->to_pre, &to)))) {
        r = rename_to(j, &from, op->to, &to, RESULT_DONE);
        busy = r == -EBUSY || apply_in_the_way(r); /* somebody was there meanwhile */
    } else {
        busy = true;
    }
    if (busy)
        r = rename_to_copy(j, &from);
out:
    row_release(&from);
    row_release(&to);
    return r;
}
