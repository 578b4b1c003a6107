/* SPDX-License-Identifier: MIT */
/* oplog: the outbox's rows, and which of them may still be rewritten. */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"

void outbox_row_release(struct outbox_row *o)
{
    op_release(&o->op);
    memset(o, 0, sizeof(*o));
}

static char *col_dup(sqlite3_stmt *st, int c)
{
    return sqlite3_column_type(st, c) == SQLITE_NULL ? NULL : xstrdup(db_col_text(st, c));
}

int outbox_read(sqlite3_stmt *st, struct outbox_row *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->op.n = sqlite3_column_int64(st, 0);
    ret->op.kind = (enum op_kind)sqlite3_column_int(st, 1);
    ret->op.path = col_dup(st, 2);
    ret->op.to = col_dup(st, 3);
    ret->op.target = col_dup(st, 4);
    db_col_hash(st, 5, &ret->op.hash);
    ret->op.size = sqlite3_column_int64(st, 6);
    ret->op.mtime = sqlite3_column_int64(st, 7);
    ret->op.mode = sqlite3_column_int64(st, 8);
    ret->state = *db_col_text(st, 11);
    ret->op.has_mtime = sqlite3_column_int(st, 12) != 0;
    ret->op.umask = sqlite3_column_int(st, 13);
    ret->op.known = sqlite3_column_int64(st, 14);
    if (pre_parse(db_col_text(st, 9), &ret->op.pre) < 0 ||
        pre_parse(db_col_text(st, 10), &ret->op.to_pre) < 0) {
        outbox_row_release(ret);
        return -EUCLEAN;
    }
    return 0;
}

int outbox_get(struct db *db, int64_t opid, struct outbox_row *ret)
{
    sqlite3_stmt *st = db_query(db, "SELECT " OUTBOX_COLS " FROM outbox WHERE opid=?", "i", opid);
    int rc = db_step(db, st);

    memset(ret, 0, sizeof(*ret));
    if (rc == 1) {
        int rc2 = outbox_read(st, ret);
        db_done(st);
        if (rc2 < 0)
            return rc2;
    }
    return rc;
}

int outbox_delete(struct db *db, int64_t opid)
{
    int rc = db_run(db, "DELETE FROM outbox WHERE opid=?", "i", opid);

    return rc < 0 ? rc : 0;
}

int outbox_drop(struct db *db, int64_t opid)
{
    int rc = outbox_delete(db, opid);

    if (rc == 0)
        rc = db_run(db, "DELETE FROM overlay WHERE opid=?", "i", opid);
    if (rc >= 0)
        rc = db_run(db, "DELETE FROM renumbered WHERE new=?", "i", opid);
    return rc < 0 ? rc : 0;
}

int outbox_renumbered(struct db *db, int64_t from, int64_t to)
{
    int rc = db_run(db, "UPDATE renumbered SET new=? WHERE new=?", "ii", to, from);

    if (rc >= 0)
        rc = db_run(db, "INSERT OR REPLACE INTO renumbered(old,new) VALUES(?,?)", "ii", from, to);
    return rc < 0 ? rc : 0;
}

int outbox_insert(struct db *db, const struct op *op, char state)
{
    char pre[HASH_TEXT_CAP], to_pre[HASH_TEXT_CAP], s[2] = {state, '\0'};
    int rc = db_run(db,
                    "INSERT OR REPLACE INTO outbox(" OUTBOX_COLS ",created,code,error)"
                    " VALUES(?1,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
                    "(SELECT code FROM outbox WHERE opid=?1),"
                    "(SELECT error FROM outbox WHERE opid=?1))",
                    "iippphiiisssiiii", op->n, (int64_t)op->kind, op->path, op->to, op->target,
                    &op->hash, op->size, op->mtime, op->mode, pre_text(&op->pre, pre),
                    pre_text(&op->to_pre, to_pre), s, (int64_t)op->has_mtime, op->umask, op->known,
                    clock_wall_ns());

    return rc < 0 ? rc : 0;
}

/* The last operation (published) that touches `path` or a folder above it; 0: none. */
static int last_touch(struct db *db, const char *path, int64_t *ret)
{
    char *p = xstrdup(path);
    int64_t last = 0, n;
    int rc = 0;

    while (rc == 0 && *p) {
        rc = db_get_int(db, 0, &n,
                        "SELECT max((SELECT coalesce(max(opid),0) FROM outbox WHERE path=?1"
                        " AND state<>'o'),(SELECT coalesce(max(opid),0) FROM outbox"
                        " WHERE to_path=?1))",
                        "p", p);
        if (rc == 0 && n > last)
            last = n;
        p[path_parent_len(p)] = '\0';
    }
    free(p);
    if (rc == 0)
        *ret = last;
    return rc;
}

int outbox_rewritable(struct db *db, const char *path, const struct row *v, struct outbox_row *ret)
{
    int64_t last = 0;
    int rc = last_touch(db, path, &last);

    memset(ret, 0, sizeof(*ret));
    if (rc < 0 || last == 0 || v->opid != last)
        return rc;
    rc = outbox_get(db, last, ret);
    if (rc == 1 && (ret->state != STATE_QUEUED || strcmp(ret->op.path, path) != 0 ||
                    ret->op.kind == OP_RENAME)) {
        outbox_row_release(ret);
        rc = 0;
    }
    return rc;
}

int log_below(struct db *db, const char *path)
{
    struct subtree s;
    int64_t found = 0;
    int rc;

    subtree_init(&s, path);
    rc = db_get_int(db, 0, &found,
                    "SELECT EXISTS(SELECT 1 FROM outbox WHERE path>=?1 AND path<?2) OR"
                    " EXISTS(SELECT 1 FROM outbox WHERE to_path>=?1 AND to_path<?2)",
                    "pp", s.from, s.to);
    subtree_release(&s);
    return rc < 0 ? rc : (int)found;
}

int outbox_log(struct replica *r, struct op *op, char state, const struct row *row)
{
    int rc;

    op->n = r->now.next_opid++;
    rc = outbox_insert(r->db, op, state);
    if (rc == 0)
        rc = row ? overlay_put(r->db, op->path, op->n, row)
                 : overlay_put_gone(r->db, op->path, op->n);
    return rc;
}
