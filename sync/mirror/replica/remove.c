/* SPDX-License-Identifier: MIT */
/* remove: the outbox's unlink and rmdir, and undoing operations that were never sent. */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"

static bool is_write_root(struct replica *r, const char *path)
{
    bool yes;

    mutex_lock(&r->scope_lock);
    yes = scope_is_write_root(&r->scope, path);
    mutex_unlock(&r->scope_lock);
    return yes;
}

int drop_local(struct replica *r, const char *path)
{
    struct row base;
    int rc = base_get(r->db, path, &base);

    if (rc == 0)
        rc = base.exists && base.type != ENTRY_GONE ? overlay_put_gone(r->db, path, REPLICA_LOCAL)
                                                    : overlay_delete(r->db, path, REPLICA_LOCAL);
    row_release(&base);
    return rc;
}

/* Takes operation `o` on `path` out of the log as if it had never been. */
static int take_back(struct replica *r, const char *path, int64_t opid)
{
    int rc = outbox_delete(r->db, opid);

    if (rc == 0)
        rc = overlay_delete(r->db, path, opid);
    return rc < 0 ? rc : implicit_dirs_on(r, opid);
}

int outbox_unmake(struct replica *r, const char *path, const struct row *v, const struct hash *seen,
                  struct pre *pre)
{
    struct outbox_row o = {0};
    int rc = seen_pre(r->db, path, v, seen, pre);

    if (rc < 0)
        return rc;
    rc = row_is_open(v) ? outbox_get(r->db, v->opid, &o) : outbox_rewritable(r->db, path, v, &o);
    if (rc == 1 && (o.op.kind == OP_PUT || o.op.kind == OP_SYMLINK)) {
        *pre = o.op.pre;
        rc = take_back(r, path, v->opid);
        if (rc == 0)
            rc = pre->kind == PRE_ABSENT;
    } else if (rc > 0) {
        rc = 0;
    }
    outbox_row_release(&o);
    return rc;
}

/* `only`: with this content, or NULL. */
static int unlink_locked(struct replica *r, const char *path, const struct hash *only,
                         const struct hash *seen, int64_t *opid)
{
    struct op op = {.kind = OP_UNLINK, .mode = -1};
    struct row v;
    int rc = view_need(r, r->db, path, &v);

    if (rc == 0 && only && (v.type != ENTRY_FILE || !hash_eq(&v.hash, only)))
        rc = -EBUSY;
    if (rc == 0 && v.type == ENTRY_DIR)
        rc = -EISDIR;
    if (rc == 0 && !replica_writable(r, path))
        rc = -EROFS;
    if (rc < 0)
        goto out;
    *opid = 0;
    op.path = xstrdup(path);
    if (replica_is_local(r, path)) {
        rc = drop_local(r, path);
    } else if (v.opid == REPLICA_LOCAL) { /* was local once: the master's comes to light again */
        rc = overlay_delete(r->db, path, REPLICA_LOCAL);
    } else {
        rc = outbox_unmake(r, path, &v, seen, &op.pre);
        if (rc == 0) {
            rc = outbox_log(r, &op, STATE_QUEUED, NULL);
            *opid = op.n;
        }
    }
    if (rc >= 0)
        rc = touch_parent(r, path);
    view_count(r, -1, -row_bytes(&v));
out:
    op_release(&op);
    row_release(&v);
    return rc;
}

static int unlink_path(struct replica *r, const char *path, const struct hash *only,
                       const struct hash *seen, int64_t *opid)
{
    int64_t n = 0;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = unlink_locked(r, path, only, seen, &n);
    rc = tx_end(r, rc, "replica.unlink.committed");
    if (rc == 0 && opid)
        *opid = n;
    return rc;
}

int replica_unlink(struct replica *r, const char *path, const struct hash *seen, int64_t *opid)
{
    return unlink_path(r, path, NULL, seen, opid);
}

int replica_unlink_if(struct replica *r, const char *path, const struct hash *only, int64_t *opid)
{
    return unlink_path(r, path, only, NULL, opid);
}

static int rmdir_op(struct replica *r, const char *path, const struct row *v, int64_t *opid)
{
    struct op op = {.kind = OP_RMDIR, .mode = -1};
    struct outbox_row o = {0};
    int rc = outbox_rewritable(r->db, path, v, &o);
    bool made_here = rc == 1 && o.op.kind == OP_MKDIR;

    if (rc >= 0)
        rc = made_here ? log_below(r->db, path) : 1;
    if (rc == 0) {
        rc = take_back(r, path, v->opid);
    } else if (rc == 1) {
        op.path = xstrdup(path);
        rc = outbox_log(r, &op, STATE_QUEUED, NULL);
        *opid = op.n;
    }
    outbox_row_release(&o);
    op_release(&op);
    return rc;
}

int check_empty(struct replica *r, const char *path, const struct row *v)
{
    int rc = v->hides ? 1 : view_has_children(r->db, path);

    return rc > 0 ? -ENOTEMPTY : rc;
}

static int rmdir_locked(struct replica *r, const char *path, int64_t *opid)
{
    struct row v;
    int rc = view_need(r, r->db, path, &v);

    if (rc == 0 && v.type != ENTRY_DIR)
        rc = -ENOTDIR;
    if (rc == 0 && !*path)
        rc = -EBUSY;
    if (rc == 0 && (!replica_writable(r, path) || is_write_root(r, path)))
        rc = -EROFS;
    if (rc == 0 && replica_is_volume(r, path))
        rc = -EBUSY;
    if (rc == 0)
        rc = check_empty(r, path, &v);
    if (rc == 0)
        rc = replica_is_local(r, path) ? drop_local(r, path) : rmdir_op(r, path, &v, opid);
    if (rc == 0)
        rc = touch_parent(r, path);
    view_count(r, -1, 0);
    row_release(&v);
    return rc;
}

int remove_locked(struct replica *r, const char *path, bool folder, const struct hash *seen,
                  int64_t *opid)
{
    return folder ? rmdir_locked(r, path, opid) : unlink_locked(r, path, NULL, seen, opid);
}

int replica_rmdir(struct replica *r, const char *path, int64_t *opid)
{
    int64_t n = 0;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = rmdir_locked(r, path, &n);
    rc = tx_end(r, rc, "replica.rmdir.committed");
    if (rc == 0 && opid)
        *opid = n;
    return rc;
}
