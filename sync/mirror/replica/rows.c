/* SPDX-License-Identifier: MIT */
/*
 * rows: the rows of base and overlay, and the view that they make.
 *
 *   view(path) = the overlay row with the highest opid, if there is one (gone: absent)
 *                else the base row, if there is one and it is no tombstone
 */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/mirror/replica/cookie.h"
#include "sync/mirror/replica/touched.h"

#define ROW_COLS "type,size,mtime,mode,hash,target,ino,atime,ctime,hides"
/* The same for a listing that needs no more than the indexes by cookie have: in their order, names
 * are anywhere in the tables. */
#define LISTED_COLS "type,0,0,0,NULL,NULL,ino,0,0,0"

void row_release(struct row *row)
{
    free(row->target);
    memset(row, 0, sizeof(*row));
}

void row_stamp(struct row *row)
{
    int64_t now = clock_wall_ns();

    row->ctime = now > row->ctime ? now : row->ctime + 1;
}

bool row_same(const struct row *a, const struct row *b)
{
    if (!a->exists || !b->exists)
        return a->exists == b->exists;
    if (a->type != b->type || a->mode != b->mode)
        return false;
    if (a->type == ENTRY_DIR)
        return a->mtime == b->mtime;
    return a->size == b->size && a->mtime == b->mtime && hash_eq(&a->hash, &b->hash) &&
           strcmp(a->target ? a->target : "", b->target ? b->target : "") == 0;
}

int64_t row_bytes(const struct row *row)
{
    return row->exists && row->type == ENTRY_FILE ? row->size : 0;
}

void row_attr(const struct row *row, struct node_attr *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->type = (enum node_type)row->type;
    ret->mode = (uint32_t)row->mode;
    ret->size = row->size;
    ret->blocks = -1;
    if (row->type == ENTRY_LINK)
        ret->size = row->target ? (int64_t)strlen(row->target) : 0;
    ret->mtime = row->mtime;
    ret->atime = row->atime;
    ret->ctime = row->ctime;
    ret->hash = row->hash;
    ret->ino = row->ino;
    ret->pending = row->opid > 0 && row->opid != REPLICA_LOCAL;
}

/* ROW_COLS from column `c` on. */
static void read_row(sqlite3_stmt *st, int c, struct row *ret)
{
    ret->exists = true;
    ret->type = sqlite3_column_int(st, c);
    ret->size = sqlite3_column_int64(st, c + 1);
    ret->mtime = sqlite3_column_int64(st, c + 2);
    ret->mode = sqlite3_column_int64(st, c + 3);
    db_col_hash(st, c + 4, &ret->hash);
    if (sqlite3_column_type(st, c + 5) != SQLITE_NULL)
        ret->target = xstrdup(db_col_text(st, c + 5));
    ret->ino = (uint64_t)sqlite3_column_int64(st, c + 6);
    ret->atime = sqlite3_column_int64(st, c + 7);
    ret->ctime = sqlite3_column_int64(st, c + 8);
    ret->hides = sqlite3_column_int(st, c + 9);
}

/* --- the view --- */

int view_get(struct db *db, const char *path, struct row *ret)
{
    sqlite3_stmt *st;
    int rc;

    memset(ret, 0, sizeof(*ret));
    if (!*path) {
        ret->exists = true;
        ret->type = ENTRY_DIR;
        ret->mode = 0755;
        ret->ino = ROOT_INO;
        return 0;
    }
    /* One statement, so one snapshot; at most two rows, the overlay's has the higher opid. */
    st = db_query(db,
                  "SELECT opid," ROW_COLS " FROM (SELECT opid," ROW_COLS
                  " FROM overlay WHERE dir=?1 AND name=?2 ORDER BY opid DESC LIMIT 1)"
                  " UNION ALL SELECT 0," ROW_COLS " FROM base WHERE dir=?1 AND name=?2",
                  "bp", path, path_parent_len(path), path_base(path));
    while ((rc = db_step(db, st)) == 1) {
        int64_t opid = sqlite3_column_int64(st, 0);
        if (ret->exists && opid < ret->opid)
            continue;
        row_release(ret);
        read_row(st, 1, ret);
        ret->opid = opid;
    }
    if (rc < 0 || ret->type == ENTRY_GONE)
        row_release(ret);
    return rc;
}

int view_need(struct replica *r, struct db *db, const char *path, struct row *ret)
{
    int rc = view_get(db, path, ret);

    if (rc == 0 && !ret->exists)
        return -ENOENT;
    if (rc == 0 && !*path)
        ret->mtime = ret->atime = ret->ctime = r->root_mtime;
    return rc;
}

int view_check_parent(struct db *db, const char *path)
{
    char *parent = path_parent(path);
    struct row row;
    int rc = view_get(db, parent, &row);

    free(parent);
    if (rc == 0 && !row.exists)
        rc = -ENOENT;
    else if (rc == 0 && row.type != ENTRY_DIR)
        rc = -ENOTDIR;
    row_release(&row);
    return rc;
}

/* One side of the merge: the present name and row. */
struct side {
    struct db *db;
    sqlite3_stmt *st;
    bool more; /* st stands on a row */
    char *name;
    struct row row;
};

static void side_release(struct side *s)
{
    db_done(s->st);
    free(s->name);
    row_release(&s->row);
}

static int side_step(struct side *s)
{
    int rc = db_step(s->db, s->st);

    s->more = rc == 1;
    return rc < 0 ? rc : 0;
}

/* Takes the next name; of an overlay's several rows (ascending opid) the last. */
static int side_next(struct side *s)
{
    free(s->name);
    s->name = NULL;
    row_release(&s->row);
    while (s->more && (!s->name || strcmp(s->name, db_col_text(s->st, 0)) == 0)) {
        int rc;
        if (!s->name)
            s->name = xstrdup(db_col_text(s->st, 0));
        row_release(&s->row);
        read_row(s->st, 3, &s->row);
        s->row.opid = sqlite3_column_int64(s->st, 1);
        s->row.cookie = sqlite3_column_int64(s->st, 2);
        rc = side_step(s);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Which of them comes first: negative, 0 (the same name), positive. */
static int side_cmp(const struct side *a, const struct side *b)
{
    if (!a->name || !b->name)
        return a->name ? -1 : 1;
    if (a->row.cookie != b->row.cookie)
        return a->row.cookie < b->row.cookie ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int merge(struct side *base, struct side *over, view_fn *fn, void *arg)
{
    int rc = side_next(base);

    if (rc == 0)
        rc = side_next(over);
    while (rc == 0 && (base->name || over->name)) {
        int cmp = side_cmp(base, over);
        struct side *s = cmp < 0 ? base : over;

        if (s->row.type != ENTRY_GONE)
            rc = fn(arg, s->name, &s->row);
        if (rc == 0 && cmp <= 0)
            rc = side_next(base);
        if (rc == 0 && cmp >= 0)
            rc = side_next(over);
    }
    return rc;
}

int view_each(struct db *db, const char *dir, int64_t from, bool whole, view_fn *fn, void *arg)
{
    struct side base = {.db = db}, over = {.db = db};
    int rc;

#define FROM_BASE " FROM base WHERE dir=? AND cookie>=? AND type<>0 ORDER BY cookie,name"
#define FROM_OVER " FROM overlay WHERE dir=? AND cookie>=? ORDER BY cookie,name,opid"
    base.st = db_query(db,
                       whole ? "SELECT name,0,cookie," ROW_COLS FROM_BASE
                             : "SELECT name,0,cookie," LISTED_COLS FROM_BASE,
                       "pi", dir, from);
    over.st = db_query(db,
                       whole ? "SELECT name,opid,cookie," ROW_COLS FROM_OVER
                             : "SELECT name,opid,cookie," LISTED_COLS FROM_OVER,
                       "pi", dir, from);
    rc = side_step(&base);
    if (rc == 0)
        rc = side_step(&over);
    if (rc == 0)
        rc = merge(&base, &over, fn, arg);
    side_release(&base);
    side_release(&over);
    return rc;
}

static int stop_at_first(void *arg, const char *name, const struct row *row)
{
    (void)arg;
    (void)name;
    (void)row;
    return 1;
}

int view_has_children(struct db *db, const char *dir)
{
    return view_each(db, dir, 0, false, stop_at_first, NULL);
}

/* --- base --- */

int base_get(struct db *db, const char *path, struct row *ret)
{
    sqlite3_stmt *st = db_query(db, "SELECT seq,own," ROW_COLS " FROM base WHERE dir=? AND name=?",
                                "bp", path, path_parent_len(path), path_base(path));
    int rc = db_step(db, st);

    memset(ret, 0, sizeof(*ret));
    if (rc == 1) {
        read_row(st, 2, ret);
        ret->seq = sqlite3_column_int64(st, 0);
        ret->own = sqlite3_column_int(st, 1) != 0;
    }
    db_done(st);
    return rc < 0 ? rc : 0;
}

int base_put(struct db *db, const char *path, const struct row *row)
{
    int rc = db_run(db,
                    "INSERT OR REPLACE INTO base(dir,name,cookie,seq,own," ROW_COLS ")"
                    " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    "bpiiiiiiihpiiii", path, path_parent_len(path), path_base(path),
                    cookie_of(path_base(path)), row->seq, (int64_t)row->own, (int64_t)row->type,
                    row->size, row->mtime, row->mode, &row->hash, row->target, (int64_t)row->ino,
                    row->atime, row->ctime, (int64_t)row->hides);

    return rc < 0 ? rc : 0;
}

int base_delete(struct db *db, const char *path)
{
    int rc = db_run(db, "DELETE FROM base WHERE dir=? AND name=?", "bp", path,
                    path_parent_len(path), path_base(path));

    return rc < 0 ? rc : 0;
}

/* --- overlay --- */

int overlay_get(struct db *db, const char *path, int64_t opid, struct row *ret)
{
    sqlite3_stmt *st =
        db_query(db, "SELECT " ROW_COLS " FROM overlay WHERE dir=? AND name=? AND opid=?", "bpi",
                 path, path_parent_len(path), path_base(path), opid);
    int rc = db_step(db, st);

    memset(ret, 0, sizeof(*ret));
    if (rc == 1) {
        read_row(st, 0, ret);
        ret->opid = opid;
    }
    db_done(st);
    return rc < 0 ? rc : 0;
}

int overlay_put(struct db *db, const char *path, int64_t opid, const struct row *row)
{
    int rc = db_run(db,
                    "INSERT OR REPLACE INTO overlay(dir,name,cookie,opid," ROW_COLS ")"
                    " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    "bpiiiiiihpiiii", path, path_parent_len(path), path_base(path),
                    cookie_of(path_base(path)), opid, (int64_t)row->type, row->size, row->mtime,
                    row->mode, &row->hash, row->target, (int64_t)row->ino, row->atime, row->ctime,
                    (int64_t)row->hides);

    if (opid == REPLICA_LOCAL)
        touched_local(db, path);
    return rc < 0 ? rc : 0;
}

int overlay_put_gone(struct db *db, const char *path, int64_t opid)
{
    struct row gone = {.type = ENTRY_GONE};

    return overlay_put(db, path, opid, &gone);
}

int overlay_delete(struct db *db, const char *path, int64_t opid)
{
    int rc = db_run(db, "DELETE FROM overlay WHERE dir=? AND name=? AND opid=?", "bpi", path,
                    path_parent_len(path), path_base(path), opid);

    if (opid == REPLICA_LOCAL)
        touched_local(db, path);
    return rc < 0 ? rc : 0;
}

int overlay_move(struct db *db, const char *from, int64_t opid, const char *to, int64_t to_opid)
{
    struct row row;
    int rc = overlay_get(db, from, opid, &row);

    if (rc == 0 && row.exists) {
        rc = overlay_delete(db, from, opid);
        if (rc == 0)
            rc = overlay_put(db, to, to_opid, &row);
    }
    row_release(&row);
    return rc;
}

/* --- folders --- */

int touch_folder(struct replica *r, const char *path)
{
    int64_t now = clock_wall_ns();
    int rc;

    if (!*path) {
        r->now.root_mtime = now;
        return 0;
    }
    rc = db_run(r->db,
                "UPDATE overlay SET mtime=?3,ctime=max(ctime+1,?3) WHERE dir=?1 AND name=?2 AND "
                "type=?4 AND opid="
                "(SELECT max(opid) FROM overlay WHERE dir=?1 AND name=?2)",
                "bpii", path, path_parent_len(path), path_base(path), now, (int64_t)ENTRY_DIR);
    if (rc == 0)
        rc = db_run(
            r->db,
            "UPDATE base SET mtime=?3,ctime=max(ctime+1,?3) WHERE dir=?1 AND name=?2 AND type=?4",
            "bpii", path, path_parent_len(path), path_base(path), now, (int64_t)ENTRY_DIR);
    return rc < 0 ? rc : 0;
}

int view_set_times(struct db *db, const char *path, const struct row *v)
{
    int rc;

    if (v->opid > 0)
        rc = db_run(db, "UPDATE overlay SET atime=?,ctime=? WHERE dir=? AND name=? AND opid=?",
                    "iibpi", v->atime, v->ctime, path, path_parent_len(path), path_base(path),
                    v->opid);
    else
        rc = db_run(db, "UPDATE base SET atime=?,ctime=? WHERE dir=? AND name=?", "iibp", v->atime,
                    v->ctime, path, path_parent_len(path), path_base(path));
    return rc < 0 ? rc : 0;
}

int touch_parent(struct replica *r, const char *path)
{
    char *parent = path_parent(path);
    int rc = touch_folder(r, parent);

    free(parent);
    return rc;
}

void subtree_init(struct subtree *s, const char *dir)
{
    s->from = xasprintf("%s/", dir);
    s->to = xasprintf("%s0", dir); /* '0' follows '/' */
}

void subtree_release(struct subtree *s)
{
    free(s->from);
    free(s->to);
}
