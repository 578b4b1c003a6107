/* SPDX-License-Identifier: MIT */
/*
 * Each operation first learns the present truth of its paths: the row when the file's stat is that
 * of the row, else the file is read and published on the way. Then the precondition decides: met,
 * the change is made; not met, the master's version stays and the mirror's goes into a conflict
 * copy.
 *
 * Functions return 0 (the answer is in `a`), or a negative errno of the filesystem, which
 * apply_op() turns into an answer, or of the database (job.db_error), which ends the transaction.
 */
#include "sync/master/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/place.h"
#include "sync/master/publish.h"
#include "sync/master/upload.h"
#include "sync/proto/wire.h"

struct apply {
    struct master *m;
    const struct mirror *who;
    const struct op *op;
    struct op_answer *a;
    int db_error;
};

static int db_fail(struct apply *j, int r)
{
    if (r < 0)
        j->db_error = r;
    return r < 0 ? r : 0;
}

static int answer(struct apply *j, enum op_result result, const char *code, const char *error)
{
    j->a->result = result;
    if (code)
        j->a->code = xstrdup(code);
    if (error)
        j->a->error = xstrdup(error);
    return 0;
}

static int refuse(struct apply *j, const char *code, const char *error)
{
    return answer(j, RESULT_REFUSED, code, error);
}

/* Adds what the tree says of `path`; of a path it never had, that it is gone. */
static int add_truth(struct apply *j, const char *path)
{
    struct row row = {0};
    int r = tree_get(j->m->tree->db, path, &row);

    if (r == 0) {
        row.e.path = xstrdup(path);
        row.e.type = ENTRY_GONE;
        row.e.seq = j->m->tree->seq;
    }
    if (r >= 0)
        op_answer_add(j->a, &row.e);
    row_release(&row);
    return db_fail(j, r);
}

/* Reads a file that is not as its row says and publishes it. *busy: a writer is at it. */
static int read_truth(struct apply *j, const char *path, struct row *row)
{
    struct stat before, after;
    struct hash hash;
    int64_t seen = clock_wall_ns();
    int r, fd = path_open_beneath(root_fd(j->m->root), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

    if (fd < 0)
        return fd;
    r = fstat(fd, &before) < 0 ? -errno : hash_fd(fd, &hash, NULL);
    if (r == 0 && fstat(fd, &after) < 0)
        r = -errno;
    close(fd);
    if (r < 0)
        return r;
    if (file_mtime_ns(&before) != file_mtime_ns(&after) || before.st_size != after.st_size)
        return -EBUSY;
    r = publish(j->m, path, &after, &hash, NULL, seen, NULL);
    if (r < 0)
        return db_fail(j, r);
    row_release(row);
    return db_fail(j, tree_get(j->m->tree->db, path, row));
}

/* The present truth: row->e.type is ENTRY_GONE when nothing is there. -EBUSY: being written. */
static int truth(struct apply *j, const char *path, struct row *row)
{
    struct stat st;
    char target[PATH_MAX];
    int fd, r;
    ssize_t n;

    memset(row, 0, sizeof(*row));
    if (tree_get(j->m->tree->db, path, row) < 0)
        return db_fail(j, db_errno(j->m->tree->db));
    r = master_lstat(j->m, path, &st);
    if (r == -ENOENT) {
        if (row->e.type != ENTRY_GONE)
            r = db_fail(j, tree_remove(j->m->tree, path));
        row_release(row);
        return r == -ENOENT ? 0 : r;
    }
    if (r < 0 || (row_matches(row, &st) && !S_ISDIR(st.st_mode)))
        return r;
    if (S_ISREG(st.st_mode))
        return read_truth(j, path, row);
    if (S_ISDIR(st.st_mode)) {
        if (row->e.type == ENTRY_DIR)
            return 0;
        r = publish(j->m, path, &st, NULL, NULL, 0, NULL);
    } else {
        fd = path_open_beneath(root_fd(j->m->root), path, O_PATH | O_NOFOLLOW, 0);
        n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);
        if (fd >= 0)
            close(fd);
        if (n < 0)
            return -EBUSY;
        target[n] = '\0';
        r = publish(j->m, path, &st, NULL, target, 0, NULL);
    }
    row_release(row);
    if (r < 0)
        return db_fail(j, r);
    return db_fail(j, tree_get(j->m->tree->db, path, row));
}

static bool meets(const struct pre *pre, const struct row *row)
{
    switch (pre->kind) {
    case PRE_NONE:
        return true;
    case PRE_ABSENT:
        return row->e.type == ENTRY_GONE;
    case PRE_HASH:
        return row->e.type == ENTRY_FILE && hash_eq(&row->e.hash, &pre->hash);
    case PRE_DIR:
        return row->e.type == ENTRY_DIR;
    case PRE_LINK:
        return row->e.type == ENTRY_LINK;
    }
    return false;
}

/* True while a local writer has the file open: what it wrote would go with the old inode. */
static bool being_written(struct apply *j, const char *path)
{
    int fd = path_open_beneath(root_fd(j->m->root), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    bool busy = false;

    if (fd < 0)
        return false;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    else
        busy = errno == EAGAIN;
    close(fd);
    return busy;
}

/* "dir/name (conflict slave1 2026-11-23 101500).ext", not there yet; malloc'd. */
static char *copy_path(struct apply *j, const char *path)
{
    const char *base = path_base(path), *cut = strstr(base, " (conflict "),
               *dot = strrchr(base, '.');
    char *dir = path_parent(path), *ret = NULL, when[32];
    size_t stem = dot && dot != base && strlen(dot) <= 32 ? (size_t)(dot - base) : strlen(base);
    const char *ext = base + stem;
    time_t now = (time_t)(clock_wall_ns() / 1000000000);
    struct tm tm;
    struct stat st;

    if (cut && cut != base && cut < ext) /* a copy of a copy is named as a copy of the first */
        stem = (size_t)(cut - base);
    if (stem > 140)
        stem = 140;
    gmtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y-%m-%d %H%M%S", &tm);
    for (int i = 1; !ret; i++) {
        char *name =
            i == 1 ? xasprintf("%.*s (conflict %s %s)%s", (int)stem, base, j->who->name, when, ext)
                   : xasprintf("%.*s (conflict %s %s %d)%s", (int)stem, base, j->who->name, when, i,
                               ext);
        ret = path_join(dir, name);
        free(name);
        if (i < 10000 && master_lstat(j->m, ret, &st) == 0) {
            free(ret);
            ret = NULL;
        }
    }
    free(dir);
    return ret;
}

static bool readable(void *arg, const char *path)
{
    const struct apply *j = arg;

    return scope_reads(&j->who->scope, path) && !master_hides(j->m, path);
}

/* Puts the operation's content into staging under `tmp`: inline, uploaded, or in the tree already.
 */
static int content(struct apply *j, char *tmp)
{
    const struct op *op = j->op;
    struct row row = {0};
    struct hash got;
    int r;

    place_name(tmp);
    if (op->has_data) {
        hash_bytes(op->data.data ? op->data.data : "", op->data.len, &got);
        if (!hash_eq(&got, &op->hash))
            return -EBADMSG;
        return place_data(j->m, tmp, op->data.data, op->data.len);
    }
    r = upload_take(j->m->uploads, j->who->name, &op->hash, tmp);
    if (r != -ENOENT)
        return r;
    if (tree_find_hash(j->m->tree->db, &op->hash, readable, j, &row) == 1)
        r = place_copy(j->m, tmp, row.e.path, &op->hash);
    row_release(&row);
    return r == -ENOENT ? -ENODATA : r;
}

/* Content to `path`, published. */
static int put_at(struct apply *j, const char *path, bool over)
{
    char tmp[PLACE_NAME_CAP];
    struct stat st;
    int r = place_parents(j->m, path);

    if (r == 0)
        r = content(j, tmp);
    if (r == 0)
        r = place_file(j->m, tmp, path, over, (mode_t)(j->op->mode & 0777), j->op->mtime, &st);
    if (r < 0)
        return r;
    r = db_fail(j, publish(j->m, path, &st, &j->op->hash, NULL, clock_wall_ns(), NULL));
    crash_point("master.put.published");
    return r;
}

static int keep_copy(struct apply *j)
{
    char *copy = copy_path(j, j->op->path);
    int r = put_at(j, copy, false);

    if (r == 0)
        r = add_truth(j, copy);
    if (r == 0)
        r = add_truth(j, j->op->path);
    if (r == 0) {
        j->a->copy = copy;
        return answer(j, RESULT_CONFLICT, NULL, NULL);
    }
    free(copy);
    return r;
}

/* Applies mode and mtime to what is there and publishes it. */
static int set_attrs(struct apply *j, const char *path, struct row *row, int64_t mode,
                     int64_t mtime)
{
    struct stat st;
    int r;

    if ((mode >= 0 && (uint32_t)mode != row->e.mode) || (mtime >= 0 && mtime != row->e.mtime)) {
        r = place_attrs(j->m, path, mode, mtime);
        if (r == 0)
            r = master_lstat(j->m, path, &st);
        if (r < 0)
            return r;
        r = publish(j->m, path, &st, &row->e.hash, row->e.target, row->seen, NULL);
        if (r < 0)
            return db_fail(j, r);
    }
    return add_truth(j, path);
}

static int do_put(struct apply *j)
{
    const struct op *op = j->op;
    struct row row;
    bool met, busy;
    int r = truth(j, op->path, &row);

    busy = r == -EBUSY;
    if (r < 0 && !busy)
        return r;
    if (row.e.type == ENTRY_DIR) {
        r = refuse(j, "type", "there is a folder at that path on the master");
    } else if (!busy && row.e.type == ENTRY_FILE && hash_eq(&row.e.hash, &op->hash)) {
        r = set_attrs(j, op->path, &row, op->mode & 0777, op->mtime);
    } else {
        /* What the mirror changed and the master deleted: the change wins. */
        met = meets(&op->pre, &row) || (row.e.type == ENTRY_GONE && op->pre.kind == PRE_HASH);
        if (busy || !met || (row.e.type == ENTRY_FILE && being_written(j, op->path))) {
            r = keep_copy(j);
        } else {
            r = put_at(j, op->path, row.e.type != ENTRY_GONE);
            if (r == -EEXIST)
                r = keep_copy(j);
            else if (r == 0)
                r = add_truth(j, op->path);
        }
    }
    row_release(&row);
    return r;
}

static int do_mkdir(struct apply *j)
{
    const char *path = j->op->path;
    struct row row;
    struct stat st;
    int dir, r = truth(j, path, &row);
    enum entry_type type = row.e.type;

    row_release(&row);
    if (r < 0)
        return r;
    if (type == ENTRY_DIR)
        return add_truth(j, path);
    if (type != ENTRY_GONE)
        return refuse(j, "type", "there is a file of that name on the master");
    r = place_parents(j->m, path);
    dir = r < 0 ? r : place_open_parent(j->m, path);
    if (dir < 0)
        return dir;
    if (mkdirat(dir, path_base(path), 0700) < 0 && errno != EEXIST)
        r = -errno;
    if (r == 0 && j->m->owner_uid >= 0 &&
        fchownat(dir, path_base(path), (uid_t)j->m->owner_uid, (gid_t)j->m->owner_gid,
                 AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    if (r == 0)
        r = place_attrs(j->m, path, j->op->mode & 03777, j->op->mtime);
    if (r == 0)
        r = file_sync_dir(dir);
    close(dir);
    if (r == 0)
        r = master_lstat(j->m, path, &st);
    if (r < 0)
        return r;
    if (db_fail(j, publish(j->m, path, &st, NULL, NULL, 0, NULL)) < 0)
        return j->db_error;
    return add_truth(j, path);
}

static int do_remove(struct apply *j)
{
    const struct op *op = j->op;
    bool is_dir = op->kind == OP_RMDIR;
    struct row row;
    int dir, r = truth(j, op->path, &row);
    bool met = is_dir
                   ? row.e.type == ENTRY_DIR
                   : row.e.type != ENTRY_GONE && row.e.type != ENTRY_DIR && meets(&op->pre, &row);

    row_release(&row);
    if (r == -EBUSY || (r == 0 && !met) || (r == 0 && !is_dir && being_written(j, op->path))) {
        answer(j, RESULT_KEPT, NULL, NULL);
        return add_truth(j, op->path);
    }
    if (r < 0)
        return r;
    dir = place_open_parent(j->m, op->path);
    if (dir < 0)
        return dir;
    if (unlinkat(dir, path_base(op->path), is_dir ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
        r = -errno;
    crash_point("master.remove.unlinked");
    if (r == 0)
        r = file_sync_dir(dir);
    close(dir);
    if (r == -ENOTEMPTY || r == -EEXIST) {
        refuse(j, "not_empty", "the folder is not empty on the master");
        return add_truth(j, op->path);
    }
    if (r < 0)
        return r;
    if (db_fail(j, tree_remove(j->m->tree, op->path)) < 0)
        return j->db_error;
    return add_truth(j, op->path);
}

static int do_symlink(struct apply *j)
{
    const struct op *op = j->op;
    char tmp[PLACE_NAME_CAP], *copy = NULL;
    const char *path = op->path;
    struct timespec times[2] = {{0, UTIME_OMIT}, file_timespec(op->mtime)};
    int staging = root_staging_fd(j->m->root), dir;
    struct row row;
    struct stat st;
    int r = truth(j, path, &row);
    bool same = row.e.type == ENTRY_LINK && row.e.target && strcmp(row.e.target, op->target) == 0;
    bool free_path = r == 0 && (row.e.type == ENTRY_GONE ||
                                (row.e.type == ENTRY_LINK && op->pre.kind == PRE_LINK));

    row_release(&row);
    if (r < 0 && r != -EBUSY)
        return r;
    if (same)
        return add_truth(j, path);
    if (!free_path)
        path = copy = copy_path(j, op->path);
    r = place_parents(j->m, path);
    dir = r < 0 ? r : place_open_parent(j->m, path);
    if (dir < 0) {
        free(copy);
        return dir;
    }
    place_name(tmp);
    if (symlinkat(op->target, staging, tmp) < 0 ||
        utimensat(staging, tmp, times, AT_SYMLINK_NOFOLLOW) < 0 ||
        (j->m->owner_uid >= 0 && fchownat(staging, tmp, (uid_t)j->m->owner_uid,
                                          (gid_t)j->m->owner_gid, AT_SYMLINK_NOFOLLOW) < 0) ||
        renameat(staging, tmp, dir, path_base(path)) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(staging, tmp, 0);
    else
        r = file_sync_dir(dir);
    close(dir);
    if (r == 0)
        r = master_lstat(j->m, path, &st);
    if (r == 0)
        r = db_fail(j, publish(j->m, path, &st, NULL, op->target, 0, NULL));
    if (r == 0)
        r = add_truth(j, path);
    if (r == 0 && copy) {
        r = add_truth(j, op->path);
        answer(j, RESULT_CONFLICT, NULL, NULL);
        j->a->copy = copy;
        return r;
    }
    free(copy);
    return r;
}

static int do_setattr(struct apply *j)
{
    struct row row;
    int r = truth(j, j->op->path, &row);

    if (r == 0 && (row.e.type == ENTRY_GONE || row.e.type == ENTRY_LINK)) {
        answer(j, RESULT_KEPT, NULL, NULL);
        r = add_truth(j, j->op->path);
    } else if (r == 0) {
        r = set_attrs(j, j->op->path, &row,
                      j->op->mode < 0 ? -1 : j->op->mode & (row.e.type == ENTRY_DIR ? 03777 : 0777),
                      j->op->mtime);
    }
    row_release(&row);
    return r;
}

/* Rows of everything below a folder that was renamed; the files themselves did not change. */
static int move_rows(struct apply *j, const char *from, const char *to)
{
    struct tree *t = j->m->tree;
    char *low = xasprintf("%s/", from), *high = xasprintf("%s0", from);
    struct row *rows = NULL;
    size_t n = 0, cap = 0;
    sqlite3_stmt *st =
        db_query(t->db,
                 "SELECT " TREE_COLUMNS " FROM entry WHERE dir=? AND type!=0 UNION ALL "
                 "SELECT " TREE_COLUMNS " FROM entry WHERE dir>? AND dir<? AND type!=0",
                 "ppp", from, low, high);
    int r;

    while ((r = db_step(t->db, st)) == 1) {
        if (n == cap) {
            cap = cap * 2 + 64;
            rows = xrealloc(rows, cap * sizeof(*rows));
        }
        tree_row(st, &rows[n++]);
    }
    if (r == 0)
        r = tree_remove(t, from);
    for (size_t i = 0; i < n; i++) {
        if (r >= 0) {
            char *old = rows[i].e.path;
            rows[i].e.path = path_join(to, old + strlen(low));
            free(rows[i].e.moved_from);
            rows[i].e.moved_from = old;
            r = tree_put(t, &rows[i]);
        }
        if (r >= 0) {
            struct entry gone = {.path = rows[i].e.moved_from, .seq = rows[i].e.seq};
            op_answer_add(j->a, &gone);
            op_answer_add(j->a, &rows[i].e);
        }
        row_release(&rows[i]);
    }
    free(rows);
    free(low);
    free(high);
    return db_fail(j, r);
}

static int rename_to(struct apply *j, const struct row *from, const char *to, bool over)
{
    struct stat st;
    int a = place_open_parent(j->m, from->e.path), b = -1, r = a < 0 ? a : 0;

    if (r == 0)
        r = place_parents(j->m, to);
    if (r == 0)
        r = b = place_open_parent(j->m, to);
    if (r >= 0)
        r = renameat2(a, path_base(from->e.path), b, path_base(to), over ? 0 : RENAME_NOREPLACE) < 0
                ? -errno
                : 0;
    crash_point("master.rename.renamed");
    if (r == 0)
        r = file_sync_dir(b);
    if (r == 0)
        r = file_sync_dir(a);
    if (r == 0)
        r = master_lstat(j->m, to, &st);
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
    if (r < 0)
        return r;
    if (from->e.type == ENTRY_DIR)
        r = move_rows(j, from->e.path, to);
    else
        r = db_fail(j, tree_remove(j->m->tree, from->e.path));
    if (r >= 0)
        r = db_fail(
            j, publish(j->m, to, &st, &from->e.hash, from->e.target, from->seen, from->e.path));
    if (r == 0)
        r = add_truth(j, from->e.path);
    return r < 0 ? r : add_truth(j, to);
}

static int do_rename(struct apply *j)
{
    const struct op *op = j->op;
    struct row from, to = {0};
    bool kind_ok, free_path, same;
    char *copy;
    int r = truth(j, op->path, &from);

    if (r == 0)
        r = truth(j, op->to, &to);
    if (r < 0)
        goto out;
    kind_ok = op->pre.kind == PRE_DIR    ? from.e.type == ENTRY_DIR
              : op->pre.kind == PRE_LINK ? from.e.type == ENTRY_LINK
                                         : from.e.type == ENTRY_FILE;
    if (from.e.type == ENTRY_GONE || !kind_ok) {
        /* Made before, by a request whose outcome was lost? */
        bool made = from.e.type == ENTRY_GONE && to.e.type != ENTRY_GONE && meets(&op->pre, &to);
        answer(j, made ? RESULT_DONE : RESULT_KEPT, NULL, NULL);
        r = add_truth(j, op->path);
        if (r == 0)
            r = add_truth(j, op->to);
        goto out;
    }
    same =
        from.e.type == ENTRY_FILE && to.e.type == ENTRY_FILE && hash_eq(&from.e.hash, &to.e.hash);
    free_path =
        to.e.type == ENTRY_GONE || same || (op->to_pre.kind != PRE_NONE && meets(&op->to_pre, &to));
    if (free_path) {
        r = rename_to(j, &from, op->to, to.e.type != ENTRY_GONE);
        if (r == -ENOTEMPTY)
            r = refuse(j, "not_empty", "the folder to replace is not empty on the master");
        goto out;
    }
    copy = copy_path(j, op->to);
    r = rename_to(j, &from, copy, false);
    if (r == 0)
        r = add_truth(j, op->to);
    if (r == 0) {
        answer(j, RESULT_CONFLICT, NULL, NULL);
        j->a->copy = copy;
    } else {
        free(copy);
    }
out:
    row_release(&from);
    row_release(&to);
    return r;
}

/* 0, or the answer is a refusal already. */
static bool allowed(struct apply *j)
{
    const struct op *op = j->op;
    const struct scope *s = &j->who->scope;
    bool rename = op->kind == OP_RENAME;

    if (master_hides(j->m, op->path) || (rename && master_hides(j->m, op->to))) {
        refuse(j, "scope", "that path is not shared");
        return false;
    }
    if (!scope_writes(s, op->path) || (rename && !scope_writes(s, op->to))) {
        refuse(j, "scope", "this mirror may not write there");
        return false;
    }
    if ((rename || op->kind == OP_RMDIR || op->kind == OP_UNLINK) &&
        (scope_is_write_root(s, op->path) || (rename && scope_is_write_root(s, op->to)))) {
        refuse(j, "scope",
               "the folder that a mirror may write to cannot itself be removed or renamed");
        return false;
    }
    if (rename && path_is_under(op->to, op->path)) {
        refuse(j, "type", "a folder cannot be moved into itself");
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
        return answer(j, RESULT_LATER, "need_content", "upload the content first");
    case ENOSPC:
    case EDQUOT:
        return answer(j, RESULT_LATER, WIRE_E_NO_SPACE, "the master's disk is full");
    case EBUSY:
        return answer(j, RESULT_LATER, "busy", "the file is being written on the master");
    case EBADMSG:
        return refuse(j, "digest", "the content does not have the hash that it came with");
    case ENOTDIR:
    case ELOOP:
    case EISDIR:
    case EEXIST:
        return refuse(j, "type", "something of another type is in the way on the master");
    case ENAMETOOLONG:
    case EINVAL:
    case EILSEQ:
        return refuse(j, "name", "the master's filesystem cannot hold that name");
    case EPERM:
    case EACCES:
    case EROFS:
        return refuse(j, "permission", "the master's filesystem does not permit it");
    default:
        return answer(j, RESULT_LATER, "io", strerror(-r));
    }
}

int apply_op(struct master *m, const struct mirror *who, const struct op *op, struct op_answer *a)
{
    static int (*const fns[])(struct apply *) = {
        [OP_PUT] = do_put,         [OP_MKDIR] = do_mkdir,   [OP_RMDIR] = do_remove,
        [OP_UNLINK] = do_remove,   [OP_RENAME] = do_rename, [OP_SYMLINK] = do_symlink,
        [OP_SETATTR] = do_setattr,
    };
    struct apply j = {m, who, op, a, 0};
    int r;

    a->result = RESULT_DONE;
    if (!allowed(&j))
        return 0;
    r = fns[op->kind](&j);
    if (j.db_error < 0)
        return j.db_error;
    return r < 0 ? refuse_errno(&j, r) : 0;
}
