/* SPDX-License-Identifier: MIT */
/*
 * send_queue: the outbox towards the master: what is to be sent next, and what cannot be sent because
 * the master refused it (quarantined), because it did not go through for now (deferred), or because
 * it depends on one of these.
 *
 * An operation depends on a refused one when it is about one of its paths or something below them;
 * a rename or removal of a folder also when one of them lies in that folder. The numbers of what
 * waits are passed by what goes on, and the master takes each outbox's numbers in ascending order
 * only: so what is tried again gets new numbers, in its old order, at the log's end.
 */
#include "sync/mirror/replica/view_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/mirror/replica/pathset.h"
#include "sync/proto/wire.h"

/* --- the walk --- */

enum standing { FREE, REFUSED, WAITING }; /* REFUSED: or deferred */

/* Which refused or deferred operations are meant: those at or under `under`, or those in `ids`
 * (sorted). */
struct pick {
    const char *under;
    const int64_t *ids;
    size_t n;
};

typedef int walk_fn(void *arg, struct outbox_row *o, enum standing s);

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

/*
 * Calls fn for the operations beyond `after`, and for those from the first refused one on, in
 * order, until it returns non-zero (returned then). fn may take the row over by zeroing it; it
 * must not change the outbox.
 */
static int walk(struct db *db, int64_t after, const struct pick *pick, walk_fn *fn, void *arg)
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

static const struct pick everything = {.under = ""};

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

int replica_outbox_take(struct replica *r, int64_t after, size_t max, struct op *ret)
{
    struct take t = {.after = after, .ops = ret, .max = max};
    int rc = reader_get(r, &t.db);

    if (rc < 0)
        return rc;
    rc = db_run(t.db, "BEGIN", "");
    if (rc >= 0)
        rc = walk(t.db, after, &everything, take_one, &t);
    db_rollback(t.db);
    reader_put(r, t.db);
    if (rc >= 0)
        return (int)t.n;
    while (t.n > 0)
        op_release(&ret[--t.n]);
    return rc;
}

/* Its paths are as of what the feed has told up to here; once it is sent they stay. */
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
    walk(db, INT64_MAX, &everything, find_one, &f);
    reader_put(r, db);
    return f.held;
}

bool replica_outbox_all_held(struct replica *r)
{
    struct op op;
    int n = replica_outbox_take(r, 0, 1, &op);

    if (n == 1)
        op_release(&op);
    return n == 0;
}

struct ids {
    int64_t *v;
    size_t n, cap;
    struct strlist paths; /* of each; discard only */
};

static void ids_release(struct ids *l)
{
    free(l->v);
    strlist_release(&l->paths);
}

static void ids_add(struct ids *l, int64_t n)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
    }
    l->v[l->n++] = n;
}

static int collect_held(void *arg, struct outbox_row *o, enum standing s)
{
    struct ids *l = arg;

    if (s != FREE) {
        ids_add(l, o->op.n);
        strlist_add(&l->paths, o->op.path);
    }
    return 0;
}

static int renumber(struct replica *r, int64_t opid)
{
    int64_t n = r->now.next_opid++;
    int rc = db_run(r->db,
                    "UPDATE outbox SET opid=?1, state=CASE state WHEN 'o' THEN 'o' ELSE 'q' END,"
                    " code=NULL, error=NULL WHERE opid=?2",
                    "ii", n, opid);

    if (rc >= 0)
        rc = db_run(r->db, "UPDATE overlay SET opid=? WHERE opid=?", "ii", n, opid);
    return rc < 0 ? rc : outbox_renumbered(r->db, opid, n);
}

/* Returns the number of refused operations and of what waited for them. */
static int retry_locked(struct replica *r, const struct pick *pick)
{
    struct ids l = {0};
    int rc = walk(r->db, INT64_MAX, pick, collect_held, &l);

    for (size_t i = 0; rc == 0 && i < l.n; i++)
        rc = renumber(r, l.v[i]);
    rc = rc < 0 ? rc : (int)l.n;
    ids_release(&l);
    return rc;
}

int replica_outbox_retry(struct replica *r, const char *under)
{
    struct pick pick = {.under = under};
    int rc = tx_begin(r);

    return rc < 0 ? rc : tx_end(r, retry_locked(r, &pick), "replica.outbox.retried");
}

/* Those that were refused for their place and would be allowed there now. */
static int pick_allowed(struct replica *r, struct ids *l)
{
    sqlite3_stmt *st =
        db_query(r->db,
                 "SELECT opid,path,to_path FROM outbox WHERE state='x' AND code='" WIRE_R_SCOPE
                 "' ORDER BY opid",
                 "");
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        bool rename = sqlite3_column_type(st, 2) != SQLITE_NULL;

        if (replica_writable(r, db_col_text(st, 1)) &&
            (!rename || replica_writable(r, db_col_text(st, 2))))
            ids_add(l, sqlite3_column_int64(st, 0));
    }
    return rc;
}

int replica_outbox_retry_allowed(struct replica *r)
{
    struct ids l = {0};
    struct pick pick;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = pick_allowed(r, &l);
    pick = (struct pick){NULL, l.v, l.n};
    if (rc == 0 && l.n > 0)
        rc = retry_locked(r, &pick);
    ids_release(&l);
    return tx_end(r, rc, "replica.outbox.retried");
}

int replica_outbox_defer(struct replica *r, int64_t opid, const char *code, const char *why)
{
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = db_run(r->db,
                "UPDATE outbox SET state='d',code=?,error=? WHERE opid=? AND state IN ('q','s')",
                "ssi", code, why, opid);
    rc = tx_end(r, rc, "replica.outbox.deferred");
    return rc < 0 ? rc : 0;
}

static int pick_deferred(struct replica *r, size_t max, struct ids *l)
{
    sqlite3_stmt *st = db_query(
        r->db, "SELECT opid FROM outbox WHERE state='d' ORDER BY opid LIMIT ?", "i", (int64_t)max);
    int rc;

    while ((rc = db_step(r->db, st)) == 1)
        ids_add(l, sqlite3_column_int64(st, 0));
    return rc;
}

int replica_outbox_retry_deferred(struct replica *r, size_t max, int64_t *from, int64_t *to)
{
    struct ids l = {0};
    struct pick pick;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = pick_deferred(r, max, &l);
    pick = (struct pick){NULL, l.v, l.n};
    *from = r->now.next_opid;
    if (rc == 0 && l.n > 0)
        rc = retry_locked(r, &pick);
    *to = r->now.next_opid;
    ids_release(&l);
    return tx_end(r, rc, "replica.outbox.retried");
}

static int discard_locked(struct change *a, const struct pick *pick, struct ids *l,
                          struct before *b)
{
    struct replica *r = a->r;
    int rc = walk(r->db, INT64_MAX, pick, collect_held, l);

    for (size_t i = 0; rc == 0 && i < l->n; i++)
        rc = before_add_op(b, r, l->v[i]);
    if (rc == 0)
        rc = before_look(b, r);
    for (size_t i = 0; rc == 0 && i < l->n; i++)
        rc = outbox_drop(r->db, l->v[i]);
    return rc < 0 ? rc : before_note(b, a);
}

int replica_outbox_discard(struct replica *r, const char *under, struct strlist *dropped,
                           struct strlist *changed)
{
    struct change a = {.r = r, .changed = changed};
    struct pick pick = {.under = under};
    struct before b = {0};
    struct ids l = {0};
    int rc = tx_begin(r), rc2;

    if (rc < 0)
        return rc;
    rc = discard_locked(&a, &pick, &l, &b);
    rc2 = change_finish(&a);
    rc = tx_end(r, rc < 0 ? rc : rc2, "replica.outbox.discarded");
    for (size_t i = 0; rc == 0 && i < l.paths.n; i++)
        strlist_add(dropped, l.paths.v[i]);
    ids_release(&l);
    before_release(&b);
    return rc;
}
