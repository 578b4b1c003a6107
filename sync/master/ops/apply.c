/* SPDX-License-Identifier: MIT */
/*
 * Each operation first learns the present truth of its paths (current.c). Then the precondition
 * decides: met, the change is made; not met, the master's version stays and the mirror's goes into
 * a conflict copy.
 */
#include "sync/master/ops/apply.h"

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
#include "sync/master/folder/folder.h"
#include "sync/master/ops/current.h"
#include "sync/master/ops/put.h"
#include "sync/master/ops/rename.h"
#include "sync/master/folder/conflict.h"
#include "sync/master/folder/replace.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/inherit.h"
#include "sync/master/ops/intent_log.h"
#include "sync/master/folder/install.h"
#include "sync/master/folder/staging.h"
#include "sync/master/publish/publish.h"
#include "sync/master/folder/volume.h"
#include "sync/master/folder/visible.h"
#include "sync/proto/wire.h"

static int make_folder(struct apply *j, int dir, const char *path)
{
    struct stat st;
    int fd, r = 0;

    if (mkdirat(dir, path_base(path), 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(dir, path_base(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0) /* bits inherited from a setgid folder stay */
        r = install_attrs(j->m->folder, path,
                          inherit_mode(dir, (mode_t)j->op->mode & 07777, (mode_t)j->op->umask) |
                              (st.st_mode & S_ISGID),
                          op_mtime(j->op));
    if (r == 0)
        r = install_owner(j->m->folder, fd, dir, NULL);
    if (r == 0)
        r = file_sync_dir(dir);
    close(fd);
    return r;
}

static int new_folder(struct apply *j, const char *path)
{
    struct stat st;
    int r = install_parents(j->m->folder, path);
    int dir = r < 0 ? r : staging_open_parent(j->m->folder, path);

    if (dir < 0)
        return dir;
    r = make_folder(j, dir, path);
    close(dir);
    if (r == 0)
        r = visible_lstat(j->m->folder, path, &st);
    if (r == 0)
        r = apply_publish(j, path, &st, NULL, NULL, 0, NULL);
    return r;
}

static int kept(struct apply *j)
{
    apply_answer(j, RESULT_KEPT, NULL, NULL);
    return apply_tell(j, j->op->path);
}

static int do_mkdir(struct apply *j)
{
    const char *path = j->op->path;
    struct row row;
    int r = current_row(j, path, &row);
    enum entry_type type = row.e.type;
    char *copy;

    row_release(&row);
    if (r < 0 && r != -EBUSY)
        return r;
    if (type == ENTRY_DIR)
        return apply_tell(j, path);
    r = r == 0 && type == ENTRY_GONE ? new_folder(j, path) : -EEXIST;
    if (!apply_in_the_way(r))
        return r < 0 ? r : apply_tell(j, path);
    if (j->m->folder->conflicts) /* the folder is empty; entries below it go there by themselves */
        return kept(j);
    copy = conflict_dir(j->m->folder, path, j->who->name);
    if (!copy)
        return -EAGAIN;
    if (apply_copy_allowed(j, copy, &r))
        return apply_conflict(j, copy, new_folder(j, copy));
    free(copy);
    return r;
}

static int do_remove(struct apply *j)
{
    const struct op *op = j->op;
    bool is_dir = op->kind == OP_RMDIR, met;
    struct row row;
    int dir, r = current_row(j, op->path, &row);

    met = is_dir ? row.e.type == ENTRY_DIR
                 : row.e.type != ENTRY_GONE && row.e.type != ENTRY_DIR && pre_holds(&op->pre, &row);
    if (r == -EBUSY || (r == 0 && !met)) {
        row_release(&row);
        return kept(j);
    }
    if (r == 0 && !is_dir)
        r = intent_log_note(j, NULL, NULL, RESULT_DONE);
    dir = r < 0 ? r : staging_open_parent(j->m->folder, op->path);
    if (dir < 0) {
        row_release(&row);
        return dir;
    }
    if (!is_dir)
        r = replace_remove(j->m->folder, dir, op->path, &row);
    else if (unlinkat(dir, path_base(op->path), AT_REMOVEDIR) < 0)
        r = -errno;
    row_release(&row);
    if (r == -ENOENT)
        r = 0;
    if (r == 0)
        r = file_sync_dir(dir);
    close(dir);
    if (r == -EBUSY)
        return kept(j);
    if (r == -ENOTEMPTY || r == -EEXIST) {
        scan_queue_push(j->m->folder->scan_queue, op->path, SCAN_DEEP | SCAN_HIDDEN, 0);
        apply_refuse(j, WIRE_R_NOT_EMPTY, "the folder is not empty on the master");
        return apply_tell(j, op->path);
    }
    if (r == 0)
        r = apply_db(j, tree_remove(j->m->tree, op->path));
    return r < 0 ? r : apply_tell(j, op->path);
}

static int do_setattr(struct apply *j)
{
    const struct op *op = j->op;
    struct row row;
    int r = current_row(j, op->path, &row);

    if (r == -EBUSY) { /* published with its attributes once it is closed */
        r = install_attrs(j->m->folder, op->path, op->mode < 0 ? -1 : op->mode & INSTALL_FILE_MODE,
                          op_mtime(op));
        scan_queue_push(j->m->folder->scan_queue, op->path, SCAN_FORCE, 0);
        if (r == 0)
            r = kept(j);
    } else if (r == 0 &&
               (row.e.type == ENTRY_GONE || (row.e.type == ENTRY_LINK && !op->has_mtime))) {
        r = kept(j);
    } else if (r == 0 && row.e.type == ENTRY_LINK) { /* has no mode of its own */
        r = apply_attrs(j, op->path, &row, -1);
    } else if (r == 0) {
        r = apply_attrs(
            j, op->path, &row,
            op->mode < 0 ? -1 : op->mode & (row.e.type == ENTRY_DIR ? 07777 : INSTALL_FILE_MODE));
    }
    row_release(&row);
    return r;
}

bool apply_allows(struct apply *j)
{
    const struct op *op = j->op;
    const struct scope *s = &j->who->scope;
    bool rename = op->kind == OP_RENAME;

    if (visible_hides(j->m->folder, op->path) || (rename && visible_hides(j->m->folder, op->to))) {
        apply_refuse(j, WIRE_R_SCOPE, "that path is not shared");
        return false;
    }
    if (!scope_writes(s, op->path) || (rename && !scope_writes(s, op->to))) {
        apply_refuse(j, WIRE_R_SCOPE, "this mirror may not write there");
        return false;
    }
    if ((rename || op->kind == OP_RMDIR || op->kind == OP_UNLINK) &&
        (scope_is_write_root(s, op->path) || (rename && scope_is_write_root(s, op->to)))) {
        apply_refuse(j, WIRE_R_SCOPE,
                     "the folder that a mirror may write to cannot itself be removed or renamed");
        return false;
    }
    if ((rename || op->kind == OP_RMDIR) && (volume_is_top(j->m->folder, op->path) ||
                                             (rename && volume_is_top(j->m->folder, op->to)))) {
        apply_refuse(j, WIRE_R_VOLUME, "on the master that folder is a filesystem of its own");
        return false;
    }
    if (rename && volume_is_below(j->m->folder, op->path)) {
        apply_refuse(j, WIRE_R_VOLUME,
                     "on the master that folder holds a filesystem of its own, which would not be "
                     "mounted there again");
        return false;
    }
    if (rename && path_is_under(op->to, op->path)) {
        apply_refuse(j, WIRE_R_TYPE, "a folder cannot be moved into itself");
        return false;
    }
    return true;
}

static int refuse_errno(struct apply *j, int r)
{
    op_answer_release(j->a);
    memset(j->a, 0, sizeof(*j->a));
    j->a->n = j->op->n;
    switch (-r) {
    case ENODATA:
        return apply_answer(j, RESULT_LATER, WIRE_R_NEED_CONTENT, "upload the content first");
    case ENOSPC:
        return apply_answer(j, RESULT_LATER, WIRE_E_NO_SPACE, "the master's disk is full");
    case EDQUOT:
        return apply_answer(j, RESULT_LATER, WIRE_E_NO_SPACE,
                            "the quota of the user that serves is used up on the master");
    case EFBIG:
        return apply_refuse(j, WIRE_E_TOO_LARGE,
                            "the master's filesystem does not support files of this size");
    case EXDEV:
        return apply_refuse(
            j, WIRE_R_VOLUME,
            "the two paths are on different filesystems of the master, between which a folder "
            "cannot be moved in one step; copy it and remove the old one");
    case ESTALE:
        return apply_answer(j, RESULT_LATER, WIRE_R_VOLUME,
                            "a filesystem below the master's folder is not mounted");
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
        return apply_answer(j, RESULT_LATER, WIRE_R_BUSY,
                            "the file is being written on the master");
    case EBADMSG:
        return apply_refuse(j, WIRE_E_DIGEST,
                            "the content does not have the hash that it came with");
    case ENOTDIR:
    case ELOOP:
    case EISDIR:
    case EEXIST:
        return apply_refuse(j, WIRE_R_TYPE,
                            "something of another type is in the way on the master");
    case ENAMETOOLONG:
    case EINVAL:
    case EILSEQ:
        return apply_refuse(j, WIRE_R_NAME, "the master's filesystem cannot hold that name");
    case ENOSYS:
    case EOPNOTSUPP:
        return apply_refuse(j, WIRE_R_TYPE,
                            "the master's filesystem cannot hold such a file or link");
    case EPERM:
    case EACCES:
    case EROFS:
        return apply_refuse(j, WIRE_R_PERMISSION, "the master's filesystem does not permit it");
    default:
        return apply_answer(j, RESULT_LATER, WIRE_E_IO, strerror(-r));
    }
}

/* An earlier run made it: the answer has its present state. For a file that is being written now
 * the answer has the tree's entry; when the tree has none, the file is not gone: -EBUSY. */
static int tell_made(struct apply *j, const struct intent *made)
{
    const char *const paths[] = {j->op->path, j->op->to, made->lands};
    int r = j->op->kind == OP_RENAME ? rename_finish(j, made->over) : 0;

    for (size_t i = 0; r == 0 && i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct row row = {0};

        if (paths[i])
            r = current_row(j, paths[i], &row);
        if (r == -EBUSY && row.e.path && row.e.type != ENTRY_GONE)
            r = 0;
        row_release(&row);
        if (paths[i] && r == 0)
            r = apply_tell(j, paths[i]);
    }
    if (r == 0 && made->result == RESULT_CONFLICT)
        return apply_conflict(j, xstrdup(made->lands), 0);
    return r < 0 ? r : apply_answer(j, made->result, NULL, NULL);
}

int apply_op(struct master *m, const struct mirror *who, const char *outbox, const struct op *op,
             const struct hash *digest, const char *asked, struct carry *carry, struct op_answer *a)
{
    static int (*const fns[])(struct apply *) = {
        [OP_PUT] = put_file,       [OP_MKDIR] = do_mkdir,   [OP_RMDIR] = do_remove,
        [OP_UNLINK] = do_remove,   [OP_RENAME] = rename_op, [OP_SYMLINK] = put_link,
        [OP_SETATTR] = do_setattr,
    };
    struct apply j = {m, who, outbox, op, digest, asked, carry, a, 0, false};
    struct intent made;
    int r, was_made;

    a->result = RESULT_DONE;
    if (!apply_allows(&j))
        return 0;
    was_made = r = intent_log_made(&j, &made);
    if (r >= 0)
        r = was_made ? tell_made(&j, &made) : fns[op->kind](&j);
    intent_release(&made);
    if (r < 0 && j.db_error == 0 && !was_made)
        intent_log_forget(&j);
    if (j.db_error < 0 || carry->wanted)
        return j.db_error;
    /* Some filesystems report names that they do not support (a colon in FAT) as missing; otherwise
     * a folder was removed just now. */
    if (r == -ENOENT && !install_takes_name(m->folder, path_base(op->to ? op->to : op->path)))
        r = -EINVAL;
    return r < 0 ? refuse_errno(&j, r) : 0;
}
