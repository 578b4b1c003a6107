/* SPDX-License-Identifier: MIT */
/*
 * quarantine: operations that wait, because the master refused them (quarantined) or because they
 * failed for now (deferred), with all that depends on them: listed, sent again, or given up. Other
 * operations overtake the waiting ones, and the master accepts each outbox's numbers in ascending
 * order only: so retried operations get new numbers, in their old order, at the log's end. A
 * deferred one keeps its reason until it is settled, and is listed with it while it is retried.
 */
#include "sync/mirror/replica/send_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/mirror/replica/view_change.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

/* Set aside, or retried after that. */
#define IS_DEFERRED "(state='d' OR (state IN ('q','s') AND error IS NOT NULL))"

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
                    " code=CASE state WHEN 'x' THEN NULL ELSE code END,"
                    " error=CASE state WHEN 'x' THEN NULL ELSE error END WHERE opid=?2",
                    "ii", n, opid);

    if (rc >= 0)
        rc = db_run(r->db, "UPDATE overlay SET opid=? WHERE opid=?", "ii", n, opid);
    return rc < 0 ? rc : outbox_renumbered(r->db, opid, n);
}

/* Returns the number of refused operations and of those that waited for them. */
static int retry_locked(struct replica *r, const struct pick *pick)
{
    struct ids l = {0};
    int rc = send_queue_walk(r->db, INT64_MAX, pick, collect_held, &l);

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

static int discard_locked(struct view_change *a, const struct pick *pick, struct ids *l,
                          struct view_snapshot *b)
{
    struct replica *r = a->r;
    int rc = send_queue_walk(r->db, INT64_MAX, pick, collect_held, l);

    for (size_t i = 0; rc == 0 && i < l->n; i++)
        rc = snapshot_add_op(b, r, l->v[i]);
    if (rc == 0)
        rc = snapshot_look(b, r);
    for (size_t i = 0; rc == 0 && i < l->n; i++)
        rc = outbox_drop(r->db, l->v[i]);
    return rc < 0 ? rc : snapshot_note(b, a);
}

int replica_outbox_discard(struct replica *r, const char *under, struct strlist *dropped,
                           struct strlist *changed)
{
    struct view_change a = {.r = r, .changed = changed};
    struct pick pick = {.under = under};
    struct view_snapshot b = {0};
    struct ids l = {0};
    int rc = tx_begin(r), rc2;

    if (rc < 0)
        return rc;
    rc = discard_locked(&a, &pick, &l, &b);
    rc2 = view_change_finish(&a);
    rc = tx_end(r, rc < 0 ? rc : rc2, "replica.outbox.discarded");
    for (size_t i = 0; rc == 0 && i < l.paths.n; i++)
        strlist_add(dropped, l.paths.v[i]);
    ids_release(&l);
    snapshot_release(&b);
    return rc;
}

json_t *replica_quarantine(struct replica *r)
{
    json_t *list = json_array();
    sqlite3_stmt *st;
    struct db *db;

    if (reader_get(r, &db) < 0)
        return list;
    st = db_query(db,
                  "SELECT opid,kind,path,code,error,to_path,created,state FROM outbox"
                  " WHERE state='x' OR " IS_DEFERRED " ORDER BY opid",
                  "");
    while (db_step(db, st) == 1) {
        json_t *v = json_object();
        json_object_set_new(v, "opid", json_integer(sqlite3_column_int64(st, 0)));
        json_object_set_new(v, "op",
                            json_string(op_kind_name((enum op_kind)sqlite3_column_int(st, 1))));
        json_set_path(v, "path", db_col_text(st, 2));
        json_object_set_new(v, "code", json_string(db_col_text(st, 3)));
        json_object_set_new(v, "error", json_string(db_col_text(st, 4)));
        if (sqlite3_column_type(st, 5) != SQLITE_NULL)
            json_set_path(v, "to", db_col_text(st, 5));
        json_object_set_new(v, "time", json_integer(sqlite3_column_int64(st, 6)));
        json_object_set_new(v, "deferred", json_boolean(*db_col_text(st, 7) != STATE_QUARANTINED));
        json_array_append_new(list, v);
    }
    reader_put(r, db);
    return list;
}

int64_t replica_deferred(struct replica *r, char **path, char **why)
{
    sqlite3_stmt *st;
    struct db *db;
    int64_t n = 0;

    *path = *why = NULL;
    if (reader_get(r, &db) < 0)
        return 0;
    if (db_get_int(db, 0, &n, "SELECT count(*) FROM outbox WHERE " IS_DEFERRED, "") < 0)
        n = 0;
    st = n == 0 ? NULL
                : db_query(db,
                           "SELECT path,coalesce(error,'') FROM outbox WHERE " IS_DEFERRED
                           " ORDER BY opid LIMIT 1",
                           "");
    if (st && db_step(db, st) == 1) {
        *path = xstrdup(db_col_text(st, 0));
        *why = xstrdup(db_col_text(st, 1));
    } else {
        n = 0;
    }
    if (st)
        db_done(st);
    reader_put(r, db);
    return n;
}
