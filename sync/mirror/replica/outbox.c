/* SPDX-License-Identifier: MIT */
/*
 * outbox: the local changes (with publish.c, remove.c and rename.c). Each is one transaction that
 * writes an operation to the log and its effect to the overlay.
 *
 * The log is rewritten only where it was never sent, and only its last operation that touches a
 * path:
 *
 *   put A→B, put B→C      put A→C                 put(new), unlink       nothing
 *   put A→B, setattr      put A→B with it         put A→B, unlink        unlink A
 *   put(new) t, mv t f    put f                   mkdir, rmdir           nothing
 *   put A→B f, mv t f     mv t f, replacing A     mkdir d …, mv d e      mkdir e …
 *
 * An unpublished file is an operation in state "open": it is not sent, holds no place in the order,
 * and gets its number when it is published. Its `pre` says what it replaces (a file that it was
 * renamed over), else absent.
 */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/thread.h"

/* --- small parts of the calls below --- */

struct pre row_pre(const struct row *v)
{
    struct pre p = {PRE_ABSENT, {{0}}};

    if (!v->exists)
        return p;
    if (v->type == ENTRY_DIR)
        p.kind = PRE_DIR;
    else if (v->type == ENTRY_LINK)
        p.kind = PRE_LINK;
    else {
        p.kind = PRE_HASH;
        p.hash = v->hash;
    }
    return p;
}

bool row_is_open(const struct row *v)
{
    return v->exists && v->type == ENTRY_FILE && v->opid > 0 && hash_is_none(&v->hash);
}

void view_count(struct replica *r, int64_t entries, int64_t bytes)
{
    r->now.entries += entries;
    r->now.bytes += bytes;
}

static int check_new(struct replica *r, const char *path)
{
    struct row v;
    int rc;

    if (!*path)
        return -EEXIST;
    rc = path_check(path);
    if (rc < 0)
        return rc;
    rc = view_get(r->db, path, &v);
    if (rc == 0 && v.exists)
        rc = -EEXIST;
    row_release(&v);
    if (rc == 0)
        rc = view_check_parent(r->db, path);
    if (rc == 0 && !replica_writable(r, path))
        rc = -EROFS;
    return rc;
}

/* The view of an existing path that is to be changed. */
static int get_writable(struct replica *r, const char *path, struct row *v)
{
    int rc = view_need(r, r->db, path, v);

    if (rc == 0 && (!*path || !replica_writable(r, path)))
        rc = -EROFS;
    return rc;
}

/* --- creating --- */

static int inherit_setgid(struct replica *r, const char *path, struct row *row)
{
    char *dir = path_parent(path);
    struct row parent;
    int rc = view_get(r->db, dir, &parent);

    row->mode |= parent.mode & S_ISGID;
    row_release(&parent);
    free(dir);
    return rc;
}

static int create_locked(struct replica *r, const char *path, struct row *row, struct op *op,
                         char state, int64_t *opid)
{
    int rc = check_new(r, path);

    if (rc < 0)
        return rc;
    if (row->type == ENTRY_DIR)
        rc = inherit_setgid(r, path, row);
    if (rc < 0)
        return rc;
    row->exists = true;
    row->ino = (uint64_t)r->now.next_ino++;
    row->mtime = row->atime = row->ctime = clock_wall_ns();
    *opid = 0;
    if (replica_is_local(r, path)) {
        row->opid = REPLICA_LOCAL;
        rc = overlay_put(r->db, path, REPLICA_LOCAL, row);
    } else {
        op->has_mtime = true;
        op->mtime = row->mtime;
        op->mode = row->mode;
        rc = outbox_log(r, op, state, row);
        row->opid = op->n;
        if (state == STATE_QUEUED)
            *opid = op->n;
    }
    if (rc == 0)
        rc = touch_parent(r, path);
    view_count(r, 1, 0);
    return rc;
}

static int create(struct replica *r, struct row *row, struct op *op, char state,
                  struct node_attr *ret, int64_t *opid, const char *point)
{
    int64_t n = 0;
    int rc = tx_begin_spare(r);

    if (rc < 0)
        return rc;
    rc = create_locked(r, op->path, row, op, state, &n);
    rc = tx_end(r, rc, point);
    if (rc < 0)
        return rc;
    if (ret)
        row_attr(row, ret);
    if (opid)
        *opid = n;
    return 0;
}

int replica_create(struct replica *r, const char *path, uint32_t mode, struct node_attr *ret)
{
    return replica_create_masked(r, path, mode, 0, ret);
}

int replica_create_masked(struct replica *r, const char *path, uint32_t mode, uint32_t umask,
                          struct node_attr *ret)
{
    struct row row = {.type = ENTRY_FILE, .mode = mode & 07777};
    struct op op = {.kind = OP_PUT, .umask = umask & 0777, .pre = {.kind = PRE_ABSENT}};
    int rc;

    op.path = xstrdup(path);
    rc = create(r, &row, &op, STATE_OPEN, ret, NULL, "replica.create.committed");
    op_release(&op);
    return rc;
}

int replica_mkdir(struct replica *r, const char *path, uint32_t mode, struct node_attr *ret,
                  int64_t *opid)
{
    return replica_mkdir_masked(r, path, mode, 0, ret, opid);
}

int replica_mkdir_masked(struct replica *r, const char *path, uint32_t mode, uint32_t umask,
                         struct node_attr *ret, int64_t *opid)
{
    struct row row = {.type = ENTRY_DIR, .mode = mode & 07777};
    struct op op = {.kind = OP_MKDIR, .umask = umask & 0777};
    int rc;

    op.path = xstrdup(path);
    rc = create(r, &row, &op, STATE_QUEUED, ret, opid, "replica.mkdir.committed");
    op_release(&op);
    return rc;
}

int replica_symlink(struct replica *r, const char *path, const char *target, struct node_attr *ret,
                    int64_t *opid)
{
    struct row row = {.type = ENTRY_LINK, .mode = 0777};
    struct op op = {.kind = OP_SYMLINK, .pre = {.kind = PRE_ABSENT}};
    int rc;

    if (!*target)
        return -ENOENT;
    op.path = xstrdup(path);
    op.target = xstrdup(target);
    row.target = xstrdup(target);
    rc = create(r, &row, &op, STATE_QUEUED, ret, opid, "replica.symlink.committed");
    op_release(&op);
    row_release(&row);
    return rc;
}

int seen_pre(struct db *db, const char *path, const struct row *v, const struct hash *seen,
             struct pre *ret)
{
    sqlite3_stmt *st = db_query(db,
                                "SELECT o.hash,b.kind FROM overlay o JOIN outbox b ON b.opid=o.opid"
                                " WHERE o.dir=? AND o.name=? AND b.kind IN (?,?) AND o.type=1"
                                " ORDER BY o.opid DESC LIMIT 1",
                                "bpii", path, path_parent_len(path), path_base(path),
                                (int64_t)OP_PUT, (int64_t)OP_RENAME);
    int rc = db_step(db, st);

    *ret = row_pre(v);
    /* A rename moves whatever entries the master has there, visible here or not. */
    if (rc == 1 && (sqlite3_column_int(st, 1) == OP_PUT || !seen || hash_is_none(seen)))
        db_col_hash(st, 0, &ret->hash);
    else if (rc >= 0 && seen && !hash_is_none(seen))
        ret->hash = *seen;
    db_done(st);
    return rc < 0 ? rc : 0;
}

struct op put_of(const char *path, const struct row *want)
{
    return (struct op){.kind = OP_PUT,
                       .path = xstrdup(path),
                       .pre.kind = PRE_ABSENT,
                       .hash = want->hash,
                       .size = want->size,
                       .has_mtime = true,
                       .mtime = want->mtime,
                       .mode = want->mode};
}

/* --- attributes --- */

/*
 * The last operation on the path takes the attributes along, if it was not sent yet. Not a folder's
 * mtime past what was done in it since: that would change it.
 */
static int setattr_merge(struct replica *r, const char *path, const struct row *v,
                         const struct node_change *c, struct outbox_row *ret)
{
    int rc = outbox_rewritable(r->db, path, v, ret);

    if (rc == 1 && v->type == ENTRY_DIR && c->has_mtime) {
        int below = log_below(r->db, path);
        if (below != 0) {
            outbox_row_release(ret);
            rc = below < 0 ? below : 0;
        }
    }
    return rc;
}

static int setattr_op(struct replica *r, const char *path, const struct row *v,
                      const struct row *want, const struct node_change *c, int64_t *opid)
{
    struct outbox_row old = {0};
    struct op op = {.kind = OP_SETATTR,
                    .mode = c->has_mode ? want->mode : -1,
                    .has_mtime = c->has_mtime,
                    .mtime = c->mtime};
    int rc;

    op.path = xstrdup(path);
    if (row_is_open(v)) {
        *opid = 0;
        rc = overlay_put(r->db, path, v->opid, want);
        goto out;
    }
    rc = setattr_merge(r, path, v, c, &old);
    if (rc == 1) {
        if (c->has_mode) {
            old.op.mode = want->mode;
            old.op.umask = 0;
        }
        if (c->has_mtime) {
            old.op.has_mtime = true;
            old.op.mtime = c->mtime;
        }
        *opid = old.op.n;
        rc = outbox_insert(r->db, &old.op, STATE_QUEUED);
        if (rc == 0)
            rc = overlay_put(r->db, path, old.op.n, want);
    } else if (rc == 0) {
        rc = outbox_log(r, &op, STATE_QUEUED, want);
        *opid = op.n;
    }
out:
    outbox_row_release(&old);
    op_release(&op);
    return rc;
}

static int setattr_locked(struct replica *r, const char *path, const struct node_change *c,
                          struct node_attr *ret, int64_t *opid)
{
    struct row v, want;
    int rc = get_writable(r, path, &v);

    if (rc < 0)
        goto out;
    want = v;
    if (c->has_mode)
        want.mode = c->mode & 07777;
    if (c->has_mtime)
        want.mtime = c->mtime;
    if (c->has_atime)
        want.atime = c->atime;
    row_stamp(&want);
    if (want.mode == v.mode && want.mtime == v.mtime) {
        *opid = v.opid == REPLICA_LOCAL || row_is_open(&v) ? 0 : v.opid;
        rc = view_set_times(r->db, path, &want);
    } else if (replica_is_local(r, path) || v.opid == REPLICA_LOCAL) {
        *opid = 0;
        rc = overlay_put(r->db, path, REPLICA_LOCAL, &want);
    } else {
        rc = setattr_op(r, path, &v, &want, c, opid);
        want.opid = 1; /* pending */
    }
    row_attr(&want, ret);
out:
    row_release(&v);
    return rc;
}

int replica_setattr(struct replica *r, const char *path, const struct node_change *c,
                    struct node_attr *ret, int64_t *opid)
{
    struct node_attr attr;
    int64_t n = 0;
    int rc = tx_begin_spare(r);

    if (rc < 0)
        return rc;
    rc = setattr_locked(r, path, c, &attr, &n);
    rc = tx_end(r, rc, "replica.setattr.committed");
    if (rc < 0)
        return rc;
    if (ret)
        *ret = attr;
    if (opid)
        *opid = n;
    return 0;
}
