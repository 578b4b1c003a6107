/* SPDX-License-Identifier: MIT */
/*
 * rename_excluded: renames between names that the master excludes, which are local, and names that
 * are served (editors write a.css.tmp and rename it to a.css, or move a.css to a.css~ first). To
 * the master the one appears and the other goes:
 *
 *      local → served      put, mkdir, symlink at the new name; the local row goes
 *      served → local      a local row with the content, then unlink and rmdir of the old name
 *
 * A folder's rename may make that difference for what is in it only, where a pattern has a path:
 * then the folder is renamed, and those paths cross by themselves before and after it. A served
 * file whose content is not in the store cannot become local, for nobody else may have it later,
 * nor can a folder that the master cannot remove: -EXDEV, and the program copies.
 */
#include "sync/mirror/replica/moved_tree.h"
#include "sync/mirror/replica/rename_op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

/* One path of the moved tree. */
struct crossing {
    char *to;
    bool was, will; /* local */
};

struct cross {
    struct replica *r;
    struct moves m; /* parents first */
    struct crossing *c;
    int64_t opid; /* the last operation that was logged */
};

static void release(struct cross *x)
{
    for (size_t i = 0; x->c && i < x->m.n; i++)
        free(x->c[i].to);
    free(x->c);
    moved_tree_release(&x->m);
}

/* A served entry may become local: its content is here, and the master can remove it. */
static bool can_leave(struct replica *r, const struct row *row)
{
    if (row->type == ENTRY_DIR)
        return !row->hides;
    return row->type != ENTRY_FILE || row->size == 0 || hash_is_none(&row->hash) ||
           replica_has_content(r, &row->hash, row->size);
}

/* 1: something crosses; 0: nothing; -EXDEV. */
static int classify(struct cross *x, const char *from, const char *to)
{
    struct replica *r = x->r;
    int rc = 0, any = 0;

    x->c = xcalloc(x->m.n, sizeof(*x->c));
    for (size_t i = 0; rc == 0 && i < x->m.n; i++) {
        const struct moved *m = &x->m.v[i];
        struct crossing *c = &x->c[i];

        c->to = xasprintf("%s%s", to, m->path + strlen(from));
        c->was = m->row.opid == REPLICA_LOCAL || replica_is_local(r, m->path);
        c->will = replica_is_local(r, c->to);
        any |= c->was != c->will;
        rc = path_check(c->to);
        if (rc == 0 && !c->was && c->will && !can_leave(r, &m->row))
            rc = -EXDEV;
    }
    return rc < 0 ? rc : any;
}

/* Logs the operation that makes `path` as `row` says, for all. */
static int make_served(struct cross *x, const char *path, const struct row *row,
                       const struct pre *pre)
{
    struct op op = put_of(path, row);
    char state = STATE_QUEUED;
    int rc;

    op.pre = *pre;
    if (row->type == ENTRY_DIR) {
        op.kind = OP_MKDIR;
        op.pre.kind = PRE_NONE;
    } else if (row->type == ENTRY_LINK) {
        op.kind = OP_SYMLINK;
        op.target = xstrdup(row->target);
    } else if (hash_is_none(&row->hash)) {
        state = STATE_OPEN;
    }
    rc = outbox_log(x->r, &op, state, row);
    if (state == STATE_QUEUED)
        x->opid = op.n;
    op_release(&op);
    return rc;
}

/* Removes the entry at the new name, unless a put replaces it, or it is a folder that stays. */
static int clear_way(struct cross *x, const struct row *w, const struct hash *seen, struct pre *ret)
{
    const struct row *v = &x->m.v[0].row;
    const char *to = x->c[0].to;
    int rc;

    *ret = (struct pre){PRE_ABSENT, {{0}}};
    if (!w->exists || (w->type == ENTRY_DIR && v->type == ENTRY_DIR) || x->c[0].will)
        return 0;
    if (w->type == ENTRY_FILE && v->type == ENTRY_FILE && w->opid != REPLICA_LOCAL) {
        rc = outbox_unmake(x->r, to, w, seen, ret);
        return rc < 0 ? rc : 0;
    }
    view_count(x->r, 1, row_bytes(w)); /* the caller counts that, too */
    return remove_locked(x->r, to, w->type == ENTRY_DIR, seen, &x->opid);
}

/* One path at its new name. */
static int arrive(struct cross *x, size_t i, const struct pre *pre)
{
    const struct moved *m = &x->m.v[i];
    const struct crossing *c = &x->c[i];
    struct row row = m->row;

    if (!c->was)
        view_count(x->r, 1, row_bytes(&row)); /* its removal is counted */
    row.hides = false;
    if (c->will)
        return overlay_put(x->r->db, c->to, REPLICA_LOCAL, &row);
    return make_served(x, c->to, &row, pre);
}

/* … and away from its old one. */
static int leave(struct cross *x, size_t i)
{
    const struct moved *m = &x->m.v[i];

    return x->c[i].was ? drop_local(x->r, m->path)
                       : remove_locked(x->r, m->path, m->row.type == ENTRY_DIR, NULL, &x->opid);
}

/* The top itself crosses, or all of it is local: each path by itself. */
static int cross_all(struct cross *x, const struct row *w, const struct hash *seen)
{
    struct pre absent = {PRE_ABSENT, {{0}}}, pre;
    int rc = clear_way(x, w, seen, &pre);

    for (size_t i = 0; rc == 0 && i < x->m.n; i++)
        rc = arrive(x, i, i == 0 ? &pre : &absent);
    for (size_t i = x->m.n; rc == 0 && i-- > 0;)
        rc = leave(x, i);
    return rc;
}

/* A served folder is renamed, and something in it crosses by that. */
static int cross_below(struct cross *x, const char *from, const struct row *w,
                       const struct hash *seen)
{
    struct pre absent = {PRE_ABSENT, {{0}}}, to_pre;
    const char *to = x->c[0].to;
    int rc = rename_clear(x->r, to, w, seen, &to_pre);

    for (size_t i = x->m.n; rc == 0 && i-- > 1;)
        if (!x->c[i].was && x->c[i].will)
            rc = leave(x, i);
    if (rc == 0)
        rc = rename_op(x->r, from, &x->m.v[0].row, to, &to_pre, &x->opid);
    for (size_t i = 1; rc == 0 && i < x->m.n; i++) {
        const struct crossing *c = &x->c[i];

        if (!c->was && c->will) {
            rc = arrive(x, i, &absent);
        } else if (c->was && !c->will && x->m.v[i].row.opid == REPLICA_LOCAL) {
            rc = overlay_delete(x->r->db, c->to, REPLICA_LOCAL);
            if (rc == 0)
                rc = make_served(x, c->to, &x->m.v[i].row, &absent);
        }
    }
    return rc;
}

int rename_excluded(struct replica *r, const char *from, const struct row *v, const char *to,
                    const struct row *w, const struct hash *seen, int64_t *opid)
{
    struct cross x = {.r = r, .m = {.db = r->db}};
    int64_t local = 1;
    int rc = 0;

    if (!replica_excludes(r))
        rc = db_get_int(r->db, 0, &local, "SELECT EXISTS(SELECT 1 FROM overlay WHERE opid=?)", "i",
                        REPLICA_LOCAL);
    if (rc < 0 || !local)
        return rc;
    rc = moved_tree_collect(&x.m, from, v);
    if (rc == 0)
        rc = classify(&x, from, to);
    if (rc == 1) {
        rc = x.c[0].was || x.c[0].will ? cross_all(&x, w, seen) : cross_below(&x, from, w, seen);
        *opid = x.opid;
        rc = rc < 0 ? rc : 1;
    }
    release(&x);
    return rc;
}
