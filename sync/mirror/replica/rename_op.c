/* SPDX-License-Identifier: MIT */
/*
 * A renamed folder gets a "gone" row for everything that the view has below the old place and an
 * entry at the new one, all with the operation's opid:
 *
 *      before                          after (rename a → b, opid 7)
 *      base    a, a/x                  base    a, a/x
 *      overlay a/y (5, open)           overlay a gone 7, a/x gone 7, b 7, b/x 7, b/y (8, open)
 *
 * Unpublished files and local-only paths have no operation that could be late: their rows move.
 * What the master never saw is not renamed but made at the new place at once (retarget_put,
 * retarget_tree).
 */
#include "sync/mirror/replica/rename_op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/mirror/replica/moved_tree.h"

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
    return rc < 0 ? rc : implicit_dirs_on(r, opid);
}

/* The open file at `from` had been renamed over a published one: that one is gone for good now. */
static int unlink_hidden(struct replica *r, const char *from, const struct pre *pre)
{
    struct op op = {.kind = OP_UNLINK, .mode = -1, .pre = *pre};
    int rc;

    op.n = r->now.next_opid++;
    op.path = xstrdup(from);
    rc = outbox_insert(r->db, &op, STATE_QUEUED);
    if (rc == 0)
        rc = overlay_put_gone(r->db, from, op.n);
    op_release(&op);
    return rc;
}

int rename_open(struct replica *r, const char *from, const struct row *v, const char *to,
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

int move_tree(struct replica *r, const char *from, const struct row *v, const char *to,
              int64_t opid)
{
    struct moves m = {.db = r->db};
    size_t skip = strlen(from);
    int rc = moved_tree_collect(&m, from, v);

    for (size_t i = 0; rc == 0 && i < m.n; i++) {
        char *new_path = xasprintf("%s%s", to, m.v[i].path + skip);
        rc = path_check(new_path);
        if (rc == 0)
            rc = move_one(r, &m.v[i], new_path, opid);
        free(new_path);
    }
    moved_tree_release(&m);
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
        if (rc == 0)
            rc = outbox_renumbered(r->db, v->opid, o.op.n);
        if (rc == 0)
            rc = implicit_dirs_on(r, v->opid);
        *opid = o.op.n;
        rc = rc < 0 ? rc : 1;
    } else if (rc > 0) {
        rc = 0;
    }
    outbox_row_release(&o);
    return rc;
}

/* --- a folder that the master never saw --- */

/* The operations about a folder and what is below it. */
struct retarget {
    int64_t *v;
    size_t n, cap;
};

static void retarget_add(struct retarget *t, int64_t opid)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->v = xrealloc(t->v, t->cap * sizeof(*t->v));
    }
    t->v[t->n++] = opid;
}

/*
 * 1: all that the replica knows at and below `from` comes from operations that begin with its
 * mkdir, were never sent and are about nothing else; they are in *t. 0: not so.
 */
static int retarget_find(struct replica *r, const char *from, const struct row *v,
                         struct retarget *t)
{
    struct subtree s;
    sqlite3_stmt *st;
    int64_t known = 1;
    int rc, good = 1;

    subtree_init(&s, from);
    rc = db_get_int(r->db, 0, &known,
                    "SELECT EXISTS(SELECT 1 FROM base WHERE type<>0 AND"
                    " (dir=?1 OR (dir>=?2 AND dir<?3) OR (dir=?4 AND name=?5)))",
                    "pppbp", from, s.from, s.to, from, path_parent_len(from), path_base(from));
    if (rc == 0 && known)
        good = 0;
    st = db_query(r->db,
                  "SELECT " OUTBOX_COLS " FROM outbox WHERE path=?1 OR to_path=?1 OR"
                  " (path>=?2 AND path<?3) OR (to_path>=?2 AND to_path<?3) ORDER BY opid",
                  "ppp", from, s.from, s.to);
    while (rc == 0 && good && (rc = db_step(r->db, st)) == 1) {
        struct outbox_row o;
        rc = outbox_read(st, &o);
        if (rc < 0)
            break;
        good = (o.state == STATE_QUEUED || o.state == STATE_OPEN) && o.op.n >= v->opid &&
               path_is_under(o.op.path, from) && (!o.op.to || path_is_under(o.op.to, from)) &&
               (t->n > 0 || (o.op.kind == OP_MKDIR && o.op.n == v->opid));
        retarget_add(t, o.op.n);
        outbox_row_release(&o);
    }
    db_done(st);
    subtree_release(&s);
    return rc < 0 ? rc : good && t->n > 0;
}

/* "from/x" → "to/x"; malloc'd, NULL for NULL. */
static char *moved_path(const char *path, const char *from, const char *to)
{
    return path ? xasprintf("%s%s", to, path + strlen(from)) : NULL;
}

/* Moves all rows that one operation has in the overlay. */
static int retarget_rows(struct replica *r, int64_t opid, int64_t n, const char *from,
                         const char *to)
{
    struct strlist paths = {0};
    sqlite3_stmt *st = db_query(r->db, "SELECT dir,name FROM overlay WHERE opid=?", "i", opid);
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0)), *path = path_join(dir, db_col_text(st, 1));
        if (path_is_under(path, from))
            strlist_add(&paths, path);
        free(path);
        free(dir);
    }
    for (size_t i = 0; rc == 0 && i < paths.n; i++) {
        char *path = moved_path(paths.v[i], from, to);
        rc = path_check(path);
        if (rc == 0)
            rc = overlay_move(r->db, paths.v[i], opid, path, n);
        free(path);
    }
    strlist_release(&paths);
    return rc;
}

static int retarget_one(struct replica *r, int64_t opid, const char *from, const char *to)
{
    struct outbox_row o;
    int64_t n = r->now.next_opid++;
    int rc = outbox_get(r->db, opid, &o);
    char *path, *to_path;

    if (rc <= 0)
        return rc < 0 ? rc : -EIO;
    path = moved_path(o.op.path, from, to);
    to_path = moved_path(o.op.to, from, to);
    free(o.op.path);
    free(o.op.to);
    o.op.path = path;
    o.op.to = to_path;
    o.op.n = n;
    rc = outbox_delete(r->db, opid);
    if (rc == 0)
        rc = outbox_insert(r->db, &o.op, o.state);
    if (rc == 0)
        rc = outbox_renumbered(r->db, opid, n);
    outbox_row_release(&o);
    if (rc == 0)
        rc = retarget_rows(r, opid, n, from, to);
    return rc < 0 ? rc : implicit_dirs_on(r, opid);
}

/* mv d e of a folder that was made here and never sent: it is made as e at once. 1: done. */
static int retarget_tree(struct replica *r, const char *from, const struct row *v, const char *to,
                         const struct pre *to_pre, int64_t *opid)
{
    struct retarget t = {0};
    int rc = 0;

    if (v->type == ENTRY_DIR && v->opid > 0 && to_pre->kind == PRE_ABSENT)
        rc = retarget_find(r, from, v, &t);
    for (size_t i = 0; rc == 1 && i < t.n; i++) {
        int rc2 = retarget_one(r, t.v[i], from, to);
        if (rc2 < 0)
            rc = rc2;
    }
    if (rc == 1) {
        int rc2 = retarget_rows(r, REPLICA_LOCAL, REPLICA_LOCAL, from, to);
        *opid = r->now.next_opid - 1;
        rc = rc2 < 0 ? rc2 : 1;
    }
    free(t.v);
    return rc;
}

int rename_op(struct replica *r, const char *from, const struct row *v, const char *to,
              const struct pre *to_pre, int64_t *opid)
{
    struct op op = {.kind = OP_RENAME, .mode = -1, .to_pre = *to_pre};
    int rc = retarget_put(r, from, v, to, to_pre, opid);

    if (rc == 0)
        rc = retarget_tree(r, from, v, to, to_pre, opid);
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

int rename_clear(struct replica *r, const char *to, const struct row *w, const struct hash *seen,
                 struct pre *ret)
{
    int rc;

    *ret = row_pre(w);
    if (!w->exists || w->opid == REPLICA_LOCAL)
        return 0;
    rc = outbox_unmake(r, to, w, seen, ret);
    return rc < 0 ? rc : 0;
}
