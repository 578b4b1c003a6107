/* SPDX-License-Identifier: MIT */
/*
 * put: contents and links from mirrors. Met, the precondition lets the mirror's version in; not
 * met, or with a local writer at the file, the master's stays and the mirror's becomes a conflict
 * copy beside it, or in the folder of --conflicts. An edit of a file that was renamed on the master
 * meanwhile follows it to its new name.
 */
#include "sync/master/ops/put.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/ops/current.h"
#include "sync/master/folder/carry.h"
#include "sync/master/folder/conflict.h"
#include "sync/master/db/history.h"
#include "sync/master/ops/intent_log.h"
#include "sync/master/folder/kept.h"
#include "sync/master/folder/install.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/upload.h"
#include "sync/master/folder/volume.h"
#include "sync/master/folder/visible.h"

static const struct row nothing; /* ENTRY_GONE */

static bool readable(void *arg, const char *path)
{
    const struct apply *j = arg;

    return scope_reads(&j->who->scope, path) && !visible_hides(j->m->folder, path);
}

/* Enters the volume where `path` will lie (NULL: as volume_enter); beside it, when it is a volume's
 * top. */
static int enter(struct apply *j, const char *path)
{
    char *dir = path && volume_is_top(j->m->folder, path) ? path_parent(path) : NULL;
    int r = volume_enter(j->m->folder, dir ? dir : path);

    free(dir);
    return r;
}

static bool is_uploaded(const struct apply *j)
{
    int64_t have;
    bool complete;

    return upload_have(j->m->folder->uploads, j->who->name, &j->op->hash, &have, &complete) == 0 &&
           complete;
}

/* Puts the operation's content into staging for `path` (NULL: outside) as `tmp`: inline, uploaded,
 * or in the tree already. -ENODATA: none of these; -EINPROGRESS: it is to be carried there. */
static int stage(struct apply *j, const char *path, char *tmp)
{
    const struct op *op = j->op;
    struct row row = {0};
    struct hash got;
    int r = enter(j, path);

    if (r < 0)
        return r;
    staging_name(tmp);
    if (op->has_data) {
        hash_bytes(op->data.data ? op->data.data : "", op->data.len, &got);
        if (!hash_eq(&got, &op->hash))
            return -EBADMSG;
        return staging_write(j->m->folder, tmp, op->data.data, op->data.len);
    }
    if (carry_take(j->m->folder, j->carry, op->n, &op->hash, tmp)) {
        upload_forget(j->m->folder->uploads, j->who->name, &op->hash);
        return 0;
    }
    if (path && kept_needs_copy(j->m->folder->kept, path, &op->hash, op->size) && is_uploaded(j) &&
        carry_keep(j->m->folder, j->carry, op->n, &op->hash, op->size) < 0)
        return -EINPROGRESS;
    r = upload_take(j->m->folder->uploads, j->who->name, &op->hash, tmp);
    if (r == -EXDEV)
        r = carry_copy(j->m->folder, j->carry, op->n, &op->hash, op->size, NULL, path, tmp);
    else if (r == -ENOENT && tree_find_hash(j->m->tree->db, &op->hash, readable, j, &row) == 1)
        r = carry_copy(j->m->folder, j->carry, op->n, &op->hash, row.e.size, row.e.path, path, tmp);
    row_release(&row);
    return r == -ENOENT ? -ENODATA : r;
}

/* Staged content to `path`, where `was` is; published. */
static int land(struct apply *j, char *tmp, const char *path, const struct row *was,
                const char *moved_from, enum op_result result)
{
    const struct install_attr a = {(mode_t)(j->op->mode & INSTALL_FILE_MODE), (mode_t)j->op->umask,
                                   j->op->mtime, j->op->path};
    struct stat st;
    int r = install_parents(j->m->folder, path);

    if (r == 0)
        r = volume_carry(j->m->folder, tmp, path);
    if (r == 0)
        r = intent_log_note(j, tmp, path, result);
    if (r == 0)
        kept_staged(j->m->folder->kept, tmp, path, &j->op->hash, j->op->size);
    if (r == 0)
        r = install_file(j->m->folder, tmp, path, was, &a, &j->op->hash, &st);
    if (r == 0)
        r = apply_publish(j, path, &st, &j->op->hash, NULL, clock_wall_ns(), moved_from);
    if (r == 0)
        crash_point("master.put.published");
    return r;
}

static int land_outside(struct apply *j, const char *tmp)
{
    const struct op *op = j->op;
    struct conflict_like like = {&op->hash, NULL, op->size};
    int r = volume_carry(j->m->folder, tmp, NULL);

    if (r == 0)
        r = conflict_outside(j->m->folder, tmp, op->path, j->who->name,
                             (mode_t)(op->mode & INSTALL_FILE_MODE), op->mtime, like, &j->a->place);
    if (r == 0)
        r = apply_tell(j, op->path);
    return r < 0 ? r : apply_answer(j, RESULT_CONFLICT, NULL, NULL);
}

static int land_copy(struct apply *j, char *tmp)
{
    const struct op *op = j->op;
    struct conflict_like like = {&op->hash, NULL, op->size};
    struct row row = {0};
    bool there;
    char *copy;
    int r;

    r = intent_log_withdraw(j); /* that said where else it would go */
    if (r < 0)
        return r;
    if (j->m->folder->conflicts)
        return land_outside(j, tmp);
    copy = conflict_path(j->m->folder, op->path, j->who->name, op->mtime, like, &there);
    if (!apply_copy_allowed(j, copy, &r)) {
        free(copy);
        return r;
    }
    if (there) { /* made before, by a request whose outcome was lost */
        r = current_row(j, copy, &row);
        row_release(&row);
    } else {
        r = land(j, tmp, copy, &nothing, NULL, RESULT_CONFLICT);
    }
    return apply_conflict(j, copy, r);
}

/* The file that the mirror changed has another name now; its folder may have one as well. 1: done;
 * 0: not so (it may be staged). */
static int follow_rename(struct apply *j, char *tmp)
{
    const struct op *op = j->op;
    struct row moved = {0}, now = {0};
    int r = tree_find_moved(j->m->tree->db, op->path, &op->pre.hash, &moved), read = -ENOENT;

    if (r == 0 && j->asked)
        r = tree_find_moved(j->m->tree->db, j->asked, &op->pre.hash, &moved);
    if (r <= 0)
        return apply_db(j, r);
    if (readable(j, moved.e.path) && scope_writes(&j->who->scope, moved.e.path))
        read = current_row(j, moved.e.path, &now);
    r = read == -EAGAIN ? read : 0; /* too large to read it now */
    if (read == 0 && pre_holds(&op->pre, &now)) {
        r = stage(j, moved.e.path, tmp);
        if (r == 0)
            r = land(j, tmp, moved.e.path, &now, j->asked ? j->asked : op->path, RESULT_DONE);
        if (r == 0)
            r = apply_tell(j, op->path);
        if (r == 0)
            r = apply_tell(j, moved.e.path);
        if (r == 0)
            r = 1;
        else if (r == -EBUSY || r == -EEXIST)
            r = 0; /* somebody writes it: it keeps its name, and the edit gets the old one */
    }
    row_release(&now);
    row_release(&moved);
    return j->db_error < 0 ? j->db_error : r;
}

/* A kill came between this change and its commit, and there is no note of it (intent_log.h); a scan
 * has found the file, and then somebody here replaced it. The repeated operation was done, so it is
 * no conflict. The same file from before the one that the mirror changed is no proof: there
 * somebody brought an old version back. */
static int was_done(struct apply *j)
{
    const struct op *op = j->op;
    int r = op->pre.kind != PRE_HASH
                ? 0
                : history_followed(j->m->tree->db, op->path, &op->pre.hash, &op->hash, op->mtime);

    return r < 0 ? apply_db(j, r) : r;
}

int put_file(struct apply *j)
{
    const struct op *op = j->op;
    char tmp[STAGING_NAME_CAP] = "";
    struct row row;
    int r = current_row(j, op->path, &row);
    bool busy = r == -EBUSY, met, gone;

    if (r < 0 && !busy)
        goto out;
    if (!busy && row.e.type == ENTRY_FILE && hash_eq(&row.e.hash, &op->hash)) {
        r = apply_attrs(j, op->path, &row, op->mode & INSTALL_FILE_MODE);
        goto out;
    }
    /* What the mirror changed and the master deleted: the change wins. */
    gone = !busy && row.e.type == ENTRY_GONE && op->pre.kind == PRE_HASH;
    met = !busy && (pre_holds(&op->pre, &row) || gone);
    r = met ? 0 : was_done(j);
    if (r != 0) {
        r = r < 0 ? r : apply_tell(j, op->path);
        goto out;
    }
    r = gone ? follow_rename(j, tmp) : 0;
    if (r == 1) {
        r = 0;
        goto out;
    }
    met = met && !(j->m->folder->conflicts && conflict_is_blocked(j->m->folder, op->path));
    if (r == 0 && !*tmp)
        r = stage(j, met || !j->m->folder->conflicts ? op->path : NULL, tmp);
    if (r == 0 && met) {
        r = land(j, tmp, op->path, &row, j->asked, RESULT_DONE);
        if (r == 0)
            r = apply_tell(j, op->path);
    }
    if ((r == 0 && !met) || r == -EBUSY || apply_in_the_way(r))
        r = land_copy(j, tmp);
out:
    intent_log_discard(j, tmp);
    row_release(&row);
    return r;
}

/* Links have no content to lose: made in staging and renamed over what may be there. */
static int land_link(struct apply *j, const char *path, bool over, enum op_result result)
{
    int staging = root_staging_fd(j->m->folder->root), dir, r = install_parents(j->m->folder, path);
    char tmp[STAGING_NAME_CAP];

    dir = r < 0 ? r : staging_open_parent(j->m->folder, path);
    if (dir < 0)
        return dir;
    staging_name(tmp);
    r = staging_link(j->m->folder, tmp, j->op->target, op_mtime(j->op));
    if (r == 0)
        r = intent_log_note(j, tmp, path, result);
    if (r == 0 && !over)
        r = file_rename_new(staging, tmp, dir, path_base(path));
    else if (r == 0 && renameat(staging, tmp, dir, path_base(path)) < 0)
        r = -errno;
    crash_point("master.link.renamed");
    if (r < 0)
        intent_log_discard(j, tmp);
    else
        r = file_sync_dir(dir);
    close(dir);
    return r;
}

static int publish_link(struct apply *j, const char *path)
{
    struct stat st;
    int r = visible_lstat(j->m->folder, path, &st);

    return r < 0 ? r : apply_publish(j, path, &st, NULL, j->op->target, 0, NULL);
}

static int link_copy(struct apply *j)
{
    const struct op *op = j->op;
    struct conflict_like like = {NULL, op->target, 0};
    bool there;
    char *copy;
    int r;

    if (j->m->folder->conflicts) {
        r = conflict_outside(j->m->folder, NULL, op->path, j->who->name, 0, op->mtime, like,
                             &j->a->place);
        if (r == 0)
            r = apply_tell(j, op->path);
        return r < 0 ? r : apply_answer(j, RESULT_CONFLICT, NULL, NULL);
    }
    copy = conflict_path(j->m->folder, op->path, j->who->name, op->mtime, like, &there);
    if (!apply_copy_allowed(j, copy, &r)) {
        free(copy);
        return r;
    }
    r = there ? 0 : land_link(j, copy, false, RESULT_CONFLICT);
    if (r == 0)
        r = publish_link(j, copy);
    return apply_conflict(j, copy, r);
}

int put_link(struct apply *j)
{
    const struct op *op = j->op;
    struct row row;
    int r = current_row(j, op->path, &row);
    bool same = row.e.type == ENTRY_LINK && row.e.target && strcmp(row.e.target, op->target) == 0;
    bool over = r == 0 && row.e.type == ENTRY_LINK && op->pre.kind == PRE_LINK;
    bool met = r == 0 && (row.e.type == ENTRY_GONE || over);

    row_release(&row);
    if (r < 0 && r != -EBUSY)
        return r;
    if (same)
        return apply_tell(j, op->path);
    r = met ? land_link(j, op->path, over, RESULT_DONE) : -EEXIST;
    if (apply_in_the_way(r))
        return link_copy(j);
    if (r == 0)
        r = publish_link(j, op->path);
    return r < 0 ? r : apply_tell(j, op->path);
}
