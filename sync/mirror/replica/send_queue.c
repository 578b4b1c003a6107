/* SPDX-License-Identifier: MIT */
/*
 * An operation depends on a refused or deferred one when it is about one of its paths or something
 * below them; a rename or removal of a folder also when one of them lies in that folder. What stays
 * back is quarantine.c's.
 */
#include "sync/mirror/replica/send_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/mirror/replica/pathset.h"

/* --- the walk --- */

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static bool is_picked(const struct pick *pick, const struct op *op)
{
    if (pick->under)
        return path_is_under(op->path, pick->under) ||
               (op->to && path_is_under(op->to, pick->under));
    return pick->n > 0 && bsearch(&op->n, pick->ids, pick->n, sizeof(*pick->ids), by_number);
}

static bool depends(const struct op *op, const struct pathset *held)
{
    bool whole = op->kind == OP_RENAME || op->kind == OP_RMDIR;

    return pathset_covers(held, op->path) || (op->to && pathset_covers(held, op->to)) ||
           (whole && (pathset_below(held, op->path) || (op->to && pathset_below(held, op->to))));
}

int send_queue_walk(struct db *db, int64_t after, const struct pick *pick, walk_fn *fn, void *arg)
{
    struct pathset *held = pathset_new();
    sqlite3_stmt *st = db_query(
        db,
        "SELECT " OUTBOX_COLS " FROM outbox WHERE opid > min(?1,"
        " (SELECT coalesce(min(opid)-1,?1) FROM outbox WHERE state IN ('x','d'))) ORDER BY opid",
        "i", after);
    int rc;

    while ((rc = db_step(db, st)) == 1) {
        struct outbox_row o;
        enum standing s = FREE;

        rc = outbox_read(st, &o);
        if (rc < 0)
            break;
        if ((o.state == STATE_QUARANTINED || o.state == STATE_DEFERRED) && is_picked(pick, &o.op))
            s = REFUSED;
        else if (depends(&o.op, held))
            s = WAITING;
        if (s != FREE)
            pathset_add(held, o.op.path);
        if (s != FREE && o.op.to)
            pathset_add(held, o.op.to);
        rc = fn(arg, &o, s);
        outbox_row_release(&o);
        if (rc != 0)
            break;
    }
    db_done(st);
    pathset_free(held);
    return rc;
}

const struct pick send_queue_everything = {.under = ""};

/* --- sending --- */

struct take {
    struct db *db;
    int64_t after;
    struct op *ops;
    size_t n, max;
};

/*
 * 1 while an earlier put of the same path, or a rename onto it, is unanswered: should that become a
 * conflict copy, this operation belongs to the copy, so it must not be under way yet.
 */
static int awaits_put(struct db *db, const struct op *op)
{
    int64_t found = 0;
    int rc = db_get_int(db, 0, &found,
                        "SELECT EXISTS(SELECT 1 FROM outbox WHERE path IN (?1,?2) AND opid<?3"
                        " AND kind=?4 AND state IN ('q','s'))"
                        " OR EXISTS(SELECT 1 FROM outbox WHERE to_path IN (?1,?2) AND opid<?3"
                        " AND state IN ('q','s'))",
                        "ppii", op->path, op->to ? op->to : op->path, op->n, (int64_t)OP_PUT);

    return rc < 0 ? rc : (int)found;
}

static int take_one(void *arg, struct outbox_row *o, enum standing s)
{
    struct take *t = arg;
    int rc;

    if (s != FREE || o->op.n <= t->after || o->state == STATE_OPEN)
        return 0;
    rc = o->state == STATE_QUEUED ? awaits_put(t->db, &o->op) : 0;
    if (rc != 0)
        return rc;
    t->ops[t->n++] = o->op;
    memset(o, 0, sizeof(*o));
    return t->n == t->max;
}

int send_queue_can_send(struct db *db)
{
    struct op op;
    struct take t = {.db = db, .ops = &op, .max = 1};
    int rc = send_queue_walk(db, 0, &send_queue_everything, take_one, &t);

    if (t.n == 1)
        op_release(&op);
    return rc < 0 ? rc : t.n == 1;
}

int replica_outbox_take(struct replica *r, int64_t after, size_t max, struct op *ret)
{
    struct take t = {.after = after, .ops = ret, .max = max};
    int rc = reader_get(r, &t.db);

    if (rc < 0)
        return rc;
    rc = db_begin_read(t.db);
    if (rc >= 0)
        rc = send_queue_walk(t.db, after, &send_queue_everything, take_one, &t);
    db_rollback(t.db);
    reader_put(r, t.db);
    if (rc >= 0)
        return (int)t.n;
    while (t.n > 0)
        op_release(&ret[--t.n]);
    return rc;
}

/* Its paths are as of the feed up to here; once it is sent they stay. */
static int mark_sent(struct db *db, struct op *op)
{
    struct hash was, is;
    struct outbox_row o;
    int64_t told = feed_seq(db);
    int rc = outbox_get(db, op->n, &o);

    if (rc <= 0)
        return rc;
    op_digest(op, &was);
    op_digest(&o.op, &is);
    rc = (o.state == STATE_QUEUED || o.state == STATE_SENT) && hash_eq(&was, &is);
    op->known = o.op.known == 0 && o.state == STATE_QUEUED && told > 0 ? told : o.op.known;
    if (rc == 1 && o.state == STATE_QUEUED)
        rc = db_run(db, "UPDATE outbox SET state='s',known=? WHERE opid=?", "ii", op->known, op->n);
    outbox_row_release(&o);
    return rc;
}

int replica_outbox_sent(struct replica *r, struct op *ops, size_t n)
{
    int rc = tx_begin(r), marked = 1;
    size_t i;

    if (rc < 0)
        return rc;
    for (i = 0; i < n; i++) {
        marked = mark_sent(r->db, &ops[i]);
        if (marked != 1)
            break;
    }
    rc = tx_end(r, marked < 0 ? marked : 0, "replica.outbox.sent");
    return rc < 0 ? rc : (int)i;
}

/* --- what does not go on --- */

struct find {
    int64_t opid;
    bool held;
};

static int find_one(void *arg, struct outbox_row *o, enum standing s)
{
    struct find *f = arg;

    if (o->op.n < f->opid)
        return 0;
    f->held = o->op.n == f->opid && (s == WAITING || (s == REFUSED && o->state == STATE_DEFERRED));
    return 1;
}

bool replica_outbox_held(struct replica *r, int64_t opid)
{
    struct find f = {.opid = opid};
    struct db *db;

    if (reader_get(r, &db) < 0)
        return false;
    send_queue_walk(db, INT64_MAX, &send_queue_everything, find_one, &f);
    reader_put(r, db);
    return f.held;
}
