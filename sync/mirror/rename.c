/* SPDX-License-Identifier: MIT */
/*
 * rename: the outbox's longest operation. A renamed folder gets a "gone" row for everything that
 * the view has below the old place and an entry at the new one, all with the operation's opid:
 *
 *      before                          after (rename a → b, opid 7)
 *      base    a, a/x                  base    a, a/x
 *      overlay a/y (5, open)           overlay a gone 7, a/x gone 7, b 7, b/x 7, b/y (8, open)
 *
 * Unpublished files and local-only paths have no operation that could be late: their rows move.
 */
#include "sync/mirror/replica_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"

/* One path of the moved tree. */
struct moved {
    char *path;
    struct row row;
};

struct moves {
    struct moved *v;
    size_t n, cap;
    struct db *db;
    const char *dir; /* while collecting */
};

static void moves_release(struct moves *m)
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

/* `path` itself and all that the view has below it, parents first. */
static int moves_collect(struct moves *m, const char *path, const struct row *v)
{
    char *parent = path_parent(path);
    int rc = 0;

    m->dir = parent;
    moves_add(m, path_base(path), v);
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        if (m->v[i].row.type != ENTRY_DIR)
            continue;
        m->dir = m->v[i].path;
        rc = view_each(m->db, m->v[i].path, moves_add, m);
    }
    free(parent);
    return rc;
}

/* An unpublished file moves with a new number, so that nothing at its new place hides it. */
static int move_open(struct replica *r, const char *from, int64_t opid, const char *to,
                     const struct pre *pre)
{
    struct outbox_row o;
    int64_t n = r->now.next_opid++;
    int rc = outbox_get(r->db, opid, &o);

    if (rc == 1) {
        free(o.op.path);
        o.op.path = xstrdup(to);
        o.op.n = n;
        o.op.pre = *pre;
        rc = outbox_insert(r->db, &o.op, STATE_OPEN);
        outbox_row_release(&o);
    }
    if (rc == 0)
        rc = outbox_delete(r->db, opid);
    if (rc == 0)
        rc = overlay_move(r->db, from, opid, to, n);
    return rc;
}

/* The open file at `from` had been renamed over a published one: that one is gone for good now. */
static int unlink_hidden(struct replica *r, const char *from, const struct pre *pre)
{
    struct op op = {.kind = OP_UNLINK, .mtime = -1, .mode = -1, .pre = *pre};
    int rc;

    op.n = r->now.next_opid++;
    op.path = xstrdup(from);
    rc = outbox_insert(r->db, &op, STATE_QUEUED);
    if (rc == 0)
        rc = overlay_put_gone(r->db, from, op.n);
    op_release(&op);
    return rc;
}

static int rename_open(struct replica *r, const char *from, const struct row *v, const char *to,
                       const struct pre *to_pre)
{
    struct outbox_row o;
    struct pre was;
    int rc = outbox_get(r->db, v->opid, &o);

    if (rc <= 0)
        return rc < 0 ? rc : -EIO;
    was = o.op.pre;
    outbox_row_release(&o);
    rc = move_open(r, from, v->opid, to, to_pre);
    if (rc == 0 && was.kind != PRE_ABSENT)
        rc = unlink_hidden(r, from, &was);
    return rc;
}

static int move_one(struct replica *r, const struct moved *m, const char *to, int64_t opid)
{
    struct pre absent = {PRE_ABSENT, {{0}}};
    int rc;

    if (row_is_open(&m->row) && m->row.opid != REPLICA_LOCAL)
        return rename_open(r, m->path, &m->row, to, &absent);
    if (m->row.opid == REPLICA_LOCAL)
        return overlay_move(r->db, m->path, REPLICA_LOCAL, to, REPLICA_LOCAL);
    rc = overlay_put_gone(r->db, m->path, opid);
    return rc < 0 ? rc : overlay_put(r->db, to, opid, &m->row);
}

static int move_tree(struct replica *r, const char *from, const struct row *v, const char *to,
                     int64_t opid)
{
    struct moves m = {.db = r->db};
    size_t skip = strlen(from);
    int rc = moves_collect(&m, from, v);

    for (size_t i = 0; rc == 0 && i < m.n; i++) {
        char *new_path = xasprintf("%s%s", to, m.v[i].path + skip);
        rc = path_check(new_path);
        if (rc == 0)
            rc = move_one(r, &m.v[i], new_path, opid);
        free(new_path);
    }
    moves_release(&m);
    return rc;
}

/* mv t f of a file that the master never saw: the put goes to f at once. 1: done. */
static int retarget_put(struct replica *r, const char *from, const struct row *v, const char *to,
                        const struct pre *to_pre, int64_t *opid)
{
    struct outbox_row o = {0};
    int64_t later = 0;
    int rc;

    if (v->type != ENTRY_FILE || v->opid == 0 ||
        (to_pre->kind != PRE_ABSENT && to_pre->kind != PRE_HASH))
        return 0;
    rc = outbox_get(r->db, v->opid, &o);
    if (rc == 1)
        rc =
            db_get_int(r->db, 0, &later, "SELECT count(*) FROM outbox WHERE to_path=?1", "p", from);
    if (rc >= 0 && o.state == STATE_QUEUED && o.op.kind == OP_PUT && later == 0 &&
        o.op.pre.kind == PRE_ABSENT && strcmp(o.op.path, from) == 0) {
        rc = outbox_delete(r->db, v->opid);
        if (rc == 0)
            rc = overlay_delete(r->db, from, v->opid);
        free(o.op.path);
        o.op.path = xstrdup(to);
        o.op.n = r->now.next_opid++;
        o.op.pre = *to_pre;
        if (rc == 0)
            rc = outbox_insert(r->db, &o.op, STATE_QUEUED);
        if (rc == 0)
            rc = overlay_put(r->db, to, o.op.n, v);
        *opid = o.op.n;
        rc = rc < 0 ? rc : 1;
    } else if (rc > 0) {
        rc = 0;
    }
    outbox_row_release(&o);
    return rc;
}

static int rename_op(struct replica *r, const char *from, const struct row *v, const char *to,
                     const struct pre *to_pre, int64_t *opid)
{
    struct op op = {.kind = OP_RENAME, .mtime = -1, .mode = -1, .to_pre = *to_pre};
    int rc = retarget_put(r, from, v, to, to_pre, opid);

    if (rc != 0)
        return rc < 0 ? rc : 0;
    op.n = r->now.next_opid++;
    op.path = xstrdup(from);
    op.to = xstrdup(to);
    op.pre = row_pre(v);
    rc = outbox_insert(r->db, &op, STATE_QUEUED);
    if (rc == 0)
        rc = move_tree(r, from, v, to, op.n);
    *opid = op.n;
    op_release(&op);
    return rc;
}

/* --- the checks --- */

static int check_replaced(struct replica *r, const struct row *v, const char *to,
                          const struct row *w, bool noreplace)
{
    int rc;

    if (!w->exists)
        return 0;
    if (noreplace)
        return -EEXIST;
    if (v->type == ENTRY_DIR && w->type != ENTRY_DIR)
        return -ENOTDIR;
    if (v->type != ENTRY_DIR && w->type == ENTRY_DIR)
        return -EISDIR;
    if (w->type != ENTRY_DIR)
        return 0;
    rc = view_has_children(r->db, to);
    return rc > 0 ? -ENOTEMPTY : rc;
}

static int check_scope(struct replica *r, const char *from, const char *to)
{
    bool root;

    if (!replica_writable(r, from) || !replica_writable(r, to))
        return -EROFS;
    mutex_lock(&r->scope_lock);
    root = scope_is_write_root(&r->scope, from) || scope_is_write_root(&r->scope, to);
    mutex_unlock(&r->scope_lock);
    if (root)
        return -EROFS;
    return replica_is_local(r, from) != replica_is_local(r, to) ? -EXDEV : 0;
}

static int check(struct replica *r, const char *from, const char *to)
{
    int rc = path_check(to);

    if (rc < 0)
        return rc;
    if (!*from || !*to)
        return -EBUSY;
    if (strcmp(from, to) != 0 && path_is_under(to, from))
        return -EINVAL;
    rc = view_check_parent(r->db, to);
    return rc < 0 ? rc : check_scope(r, from, to);
}

/* What the master has at `to`, as far as the log goes; an unpublished file there is dropped. */
static int clear_target(struct replica *r, const char *to, const struct row *w, struct pre *ret)
{
    struct outbox_row o;
    int rc;

    *ret = row_pre(w);
    if (!row_is_open(w) || w->opid == REPLICA_LOCAL)
        return 0;
    rc = outbox_get(r->db, w->opid, &o);
    if (rc == 1) {
        *ret = o.op.pre;
        outbox_row_release(&o);
    }
    if (rc >= 0)
        rc = outbox_delete(r->db, w->opid);
    return rc < 0 ? rc : overlay_delete(r->db, to, w->opid);
}

static int rename_locked(struct replica *r, const char *from, const char *to, bool noreplace,
                         int64_t *opid)
{
    struct row v, w = {0};
    struct pre to_pre;
    int rc = view_need(r, r->db, from, &v);

    if (rc == 0)
        rc = check(r, from, to);
    if (rc == 0)
        rc = view_get(r->db, to, &w);
    if (rc == 0 && strcmp(from, to) == 0) {
        rc = noreplace ? -EEXIST : 0;
        goto out;
    }
    if (rc == 0)
        rc = check_replaced(r, &v, to, &w, noreplace);
    if (rc == 0)
        rc = clear_target(r, to, &w, &to_pre);
    if (rc < 0)
        goto out;
    if (replica_is_local(r, from))
        rc = move_tree(r, from, &v, to, REPLICA_LOCAL);
    else if (row_is_open(&v))
        rc = rename_open(r, from, &v, to, &to_pre);
    else
        rc = rename_op(r, from, &v, to, &to_pre, opid);
    if (rc == 0)
        rc = touch_parent(r, from);
    if (rc == 0)
        rc = touch_parent(r, to);
    if (w.exists) {
        r->now.entries--;
        r->now.bytes -= row_bytes(&w);
    }
out:
    row_release(&v);
    row_release(&w);
    return rc;
}

int replica_rename(struct replica *r, const char *from, const char *to, bool noreplace,
                   int64_t *opid)
{
    int64_t n = 0;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = rename_locked(r, from, to, noreplace, &n);
    rc = tx_end(r, rc, "replica.rename.committed");
    if (rc == 0 && opid)
        *opid = n;
    return rc;
}
