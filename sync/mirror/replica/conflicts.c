/* SPDX-License-Identifier: MIT */
#include "sync/mirror/replica/conflicts.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/proto/json.h"

/* Later operations on a path whose content became a conflict copy apply to the copy: an entry that
 * was renamed over it replaces the copy; up to the one that takes the name away. */
static int follow_copy(struct replica *r, const char *path, const char *copy, int64_t after)
{
    for (;;) {
        struct outbox_row o = {0};
        sqlite3_stmt *st =
            db_query(r->db,
                     "SELECT " OUTBOX_COLS " FROM outbox WHERE (path=?1 OR to_path=?1)"
                     " AND opid>?2 AND state='q' ORDER BY opid LIMIT 1",
                     "pi", path, after);
        int rc = db_step(r->db, st);
        bool last, onto;

        if (rc == 1) {
            rc = outbox_read(st, &o);
            db_done(st);
            if (rc == 0)
                rc = 1;
        }
        onto = rc == 1 && o.op.kind == OP_RENAME && strcmp(o.op.to, path) == 0;
        /* A creation is a file of its own, and so is all that follows. */
        if (rc <= 0 || o.op.kind == OP_MKDIR || o.op.kind == OP_SYMLINK ||
            (o.op.kind == OP_PUT && o.op.pre.kind == PRE_ABSENT) ||
            (onto && o.op.to_pre.kind != PRE_HASH)) {
            outbox_row_release(&o);
            return rc < 0 ? rc : 0;
        }
        after = o.op.n;
        last = !onto && (o.op.kind == OP_UNLINK || o.op.kind == OP_RENAME);
        rc = onto ? db_run(r->db, "UPDATE outbox SET to_path=? WHERE opid=?", "pi", copy, o.op.n)
                  : db_run(r->db, "UPDATE outbox SET path=? WHERE opid=?", "pi", copy, o.op.n);
        if (rc >= 0)
            rc = overlay_move(r->db, path, o.op.n, copy, o.op.n);
        outbox_row_release(&o);
        if (rc < 0 || last)
            return rc < 0 ? rc : 0;
    }
}

/* The answer's entry for `path`, or NULL. */
static const struct entry *entry_of(const struct op_answer *ans, const char *path)
{
    for (size_t i = 0; path && i < ans->n_entries; i++)
        if (strcmp(ans->entries[i].path, path) == 0)
            return &ans->entries[i];
    return NULL;
}

int conflicts_remember(struct replica *r, const struct op_answer *ans, const struct op *op)
{
    const struct entry *copy = entry_of(ans, ans->copy);
    const char *path = op->kind == OP_RENAME && op->to ? op->to : op->path;
    const struct hash *ours = copy                                                ? &copy->hash
                              : op->kind == OP_RENAME && op->pre.kind == PRE_HASH ? &op->pre.hash
                                                                                  : &op->hash;
    struct row theirs;
    int rc = base_get(r->db, path, &theirs);

    if (rc == 0)
        rc = db_run(r->db,
                    "INSERT INTO conflict(path,copy,place,ours,ours_mtime,theirs,theirs_mtime,time)"
                    " VALUES(?,?,?,?,?,?,?,?)",
                    "ppphihii", path, ans->copy ? ans->copy : "", ans->place, ours,
                    copy ? copy->mtime : op->mtime, &theirs.hash, theirs.mtime, clock_wall_ns());
    row_release(&theirs);
    if (rc >= 0 && ans->copy)
        rc = follow_copy(r, path, ans->copy, op->n);
    return rc < 0 ? rc : 0;
}

int conflicts_settle(struct replica *r)
{
    struct strlist gone = {0};
    sqlite3_stmt *st = db_query(r->db, "SELECT copy FROM conflict WHERE length(copy)>0", "");
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        char *copy = xstrdup(db_col_text(st, 0));
        struct row v;
        rc = view_get(r->db, copy, &v);
        if (rc == 0 && !v.exists)
            strlist_add(&gone, copy);
        row_release(&v);
        free(copy);
        if (rc < 0)
            break;
    }
    db_done(st);
    for (size_t i = 0; rc >= 0 && i < gone.n; i++)
        rc = db_run(r->db, "DELETE FROM conflict WHERE copy=?", "p", gone.v[i]);
    strlist_release(&gone);
    return rc < 0 ? rc : 0;
}

int conflicts_find_own(struct db *db, const char *path, const struct hash *began, char **ret)
{
    sqlite3_stmt *st =
        db_query(db, "SELECT copy FROM conflict WHERE path=? AND length(copy)>0 ORDER BY id DESC",
                 "p", path);
    struct row copy = {0};
    int rc;

    while ((rc = db_step(db, st)) == 1) {
        bool found;

        *ret = xstrdup(db_col_text(st, 0));
        rc = view_get(db, *ret, &copy);
        found = rc == 0 && copy.exists && copy.type == ENTRY_FILE && hash_eq(&copy.hash, began);
        row_release(&copy);
        if (found || rc < 0) {
            db_done(st);
            return found ? 1 : rc;
        }
        free(*ret);
        *ret = NULL;
    }
    return rc;
}

static json_t *hash_json(sqlite3_stmt *st, int c)
{
    char text[HASH_TEXT_CAP];
    struct hash h;

    db_col_hash(st, c, &h);
    return json_string(hash_is_none(&h) ? "" : hash_text(&h, text));
}

json_t *replica_conflicts(struct replica *r)
{
    json_t *list = json_array();
    sqlite3_stmt *st;
    struct db *db;

    if (reader_get(r, &db) < 0)
        return list;
    st = db_query(db,
                  "SELECT path,copy,coalesce(place,''),ours,ours_mtime,theirs,theirs_mtime,time"
                  " FROM conflict ORDER BY id",
                  "");
    while (db_step(db, st) == 1) {
        json_t *v = json_object();
        json_set_path(v, "path", db_col_text(st, 0));
        json_set_path(v, "copy", db_col_text(st, 1));
        json_set_path(v, "place", db_col_text(st, 2));
        json_object_set_new(v, "ours", hash_json(st, 3));
        json_object_set_new(v, "ours_mtime", json_integer(sqlite3_column_int64(st, 4)));
        json_object_set_new(v, "theirs", hash_json(st, 5));
        json_object_set_new(v, "theirs_mtime", json_integer(sqlite3_column_int64(st, 6)));
        json_object_set_new(v, "time", json_integer(sqlite3_column_int64(st, 7)));
        json_array_append_new(list, v);
    }
    reader_put(r, db);
    return list;
}

int replica_conflicts_forget(struct replica *r, const char *under)
{
    struct subtree s;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    subtree_init(&s, under);
    rc = db_run(r->db,
                "DELETE FROM conflict WHERE length(?1)=0 OR path=?1 OR copy=?1 OR"
                " (path>=?2 AND path<?3) OR (copy>=?2 AND copy<?3)",
                "ppp", under, s.from, s.to);
    subtree_release(&s);
    return tx_end(r, rc, "replica.conflicts.forgotten");
}
