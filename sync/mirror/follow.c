/* SPDX-License-Identifier: MIT */
/*
 * follow: what the master says goes into the base: feed pages, and answers to the outbox's
 * operations. Every path that is touched has its view compared before and after, inside the
 * transaction; only differences are reported.
 *
 * Order is the seq alone: an entry older than the row's is skipped, so an answer and the feed may
 * come in any order. A full listing replaces everything, except what the master confirmed while it
 * was paged (temp table `answered`).
 */
#include "sync/mirror/replica_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/thread.h"
#include "sync/proto/cursor.h"

/* --- one transaction's book-keeping --- */

struct apply {
    struct replica *r;
    struct strlist *changed; /* NULL: nobody asks */
    struct strlist folders;  /* whose listing changed */
    struct strlist created;  /* folders that are new themselves */
    bool own;                /* an answer: keep tombstones */
    bool feed;               /* staged paths look after themselves */
    bool first;              /* the first listing: nobody has seen anything yet */
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_unique(struct strlist *l)
{
    size_t n = 0;

    if (l->n == 0)
        return;
    qsort(l->v, l->n, sizeof(*l->v), by_text);
    for (size_t i = 0; i < l->n; i++) {
        if (n > 0 && strcmp(l->v[n - 1], l->v[i]) == 0)
            free(l->v[i]);
        else
            l->v[n++] = l->v[i];
    }
    l->n = n;
}

static bool has(const struct strlist *l, const char *s)
{
    return l->n > 0 && bsearch(&s, l->v, l->n, sizeof(*l->v), by_text);
}

/* Compares the view of `path` with what it was. */
static int note(struct apply *a, const char *path, const struct row *was)
{
    struct row now;
    int rc = view_get(a->r->db, path, &now);

    if (rc < 0)
        return rc;
    a->r->now.entries += (int)now.exists - (int)was->exists;
    a->r->now.bytes += row_bytes(&now) - row_bytes(was);
    if (!a->first && !row_same(was, &now)) {
        if (a->changed)
            strlist_add(a->changed, path);
        if (was->exists != now.exists) {
            char *parent = path_parent(path);
            strlist_add(&a->folders, parent);
            free(parent);
        }
        if (!was->exists && now.type == ENTRY_DIR)
            strlist_add(&a->created, path);
    }
    row_release(&now);
    return 0;
}

/* Folders whose listing changed get a new mtime and are reported, each once. */
static int finish(struct apply *a)
{
    int rc = 0;

    sort_unique(&a->folders);
    sort_unique(&a->created);
    for (size_t i = 0; rc == 0 && i < a->folders.n; i++) {
        struct row v;
        if (has(&a->created, a->folders.v[i]))
            continue;
        rc = view_get(a->r->db, a->folders.v[i], &v);
        if (rc == 0 && v.exists) {
            rc = touch_folder(a->r, a->folders.v[i]);
            if (a->changed)
                strlist_add(a->changed, a->folders.v[i]);
        }
        row_release(&v);
    }
    if (a->changed)
        sort_unique(a->changed);
    strlist_release(&a->folders);
    strlist_release(&a->created);
    return rc;
}

/* --- one entry into the base --- */

/* Takes one base row out (a tombstone stays for an own change) with its note. */
static int remove_row(struct apply *a, const char *path, const struct row *was, int64_t seq)
{
    struct db *db = a->r->db;
    int rc;

    if (a->own) {
        struct row gone = {.type = ENTRY_GONE, .seq = seq};
        rc = base_put(db, path, &gone);
    } else {
        rc = base_delete(db, path);
    }
    return rc < 0 ? rc : keep_folder(a->r, path, was);
}

/* Takes out what the base has below a folder that is gone, unless it is newer. */
static int remove_below(struct apply *a, const char *dir, int64_t seq)
{
    struct strlist paths = {0};
    struct subtree s;
    sqlite3_stmt *st;
    int rc;

    subtree_init(&s, dir);
    st = db_query(a->r->db,
                  "SELECT dir,name FROM base WHERE (dir=?1 OR (dir>=?2 AND dir<?3))"
                  " AND type<>0 AND seq<?4",
                  "pppi", dir, s.from, s.to, seq);
    while ((rc = db_step(a->r->db, st)) == 1) {
        char *parent = xstrdup(db_col_text(st, 0));
        char *path = path_join(parent, db_col_text(st, 1));
        strlist_add(&paths, path);
        free(path);
        free(parent);
    }
    subtree_release(&s);
    for (size_t i = 0; rc == 0 && i < paths.n; i++) {
        struct row was;
        int64_t staged = 0;
        if (a->feed)
            rc = db_get_int(a->r->db, 0, &staged, "SELECT 1 FROM incoming WHERE path=?", "p",
                            paths.v[i]);
        if (rc < 0 || staged)
            continue;
        rc = view_get(a->r->db, paths.v[i], &was);
        if (rc == 0)
            rc = remove_row(a, paths.v[i], &was, seq);
        if (rc == 0)
            rc = note(a, paths.v[i], &was);
        row_release(&was);
    }
    strlist_release(&paths);
    return rc;
}

/* `like`: the overlay row that this entry confirms (inode, a folder's mtime), or none. */
static int upsert(struct apply *a, const struct entry *e, const struct row *base,
                  const struct row *view, const struct row *like)
{
    struct row row = {.exists = true,
                      .type = (int)e->type,
                      .size = e->size,
                      .mtime = e->mtime,
                      .mode = e->mode,
                      .hash = e->hash,
                      .target = e->target,
                      .seq = e->seq};
    bool had = base->exists && base->type != ENTRY_GONE;

    if (like->exists && like->type != ENTRY_GONE)
        row.ino = like->ino;
    else if (had)
        row.ino = base->ino;
    else if (view->exists)
        row.ino = view->ino;
    else
        row.ino = (uint64_t)a->r->now.next_ino++;
    if (row.type == ENTRY_DIR && like->exists && like->type == ENTRY_DIR)
        row.mtime = like->mtime;
    else if (row.type == ENTRY_DIR && had && base->type == ENTRY_DIR)
        row.mtime = base->mtime;
    return base_put(a->r->db, e->path, &row);
}

/* Without a note: the caller compares. `void_seqs`: the row's seq means nothing any more. */
static int apply_entry(struct apply *a, const struct entry *e, bool void_seqs,
                       const struct row *view, const struct row *like)
{
    struct row base;
    int rc = base_get(a->r->db, e->path, &base);

    if (rc < 0 || (base.exists && !void_seqs && base.seq > e->seq))
        goto out;
    if (base.exists && base.type == ENTRY_DIR && e->type != ENTRY_DIR)
        rc = remove_below(a, e->path, void_seqs ? INT64_MAX : e->seq);
    if (rc < 0)
        goto out;
    if (e->type != ENTRY_GONE) {
        rc = upsert(a, e, &base, view, like);
        if (rc == 0 && e->type != ENTRY_DIR)
            rc = keep_folder(a->r, e->path, view);
    } else if (base.exists || a->own) {
        rc = remove_row(a, e->path, view, e->seq);
    }
out:
    row_release(&base);
    return rc;
}

/* --- feed --- */

static int stage_one(struct db *db, const struct entry *e)
{
    int rc = db_run(db,
                    "INSERT INTO incoming(path,type,size,mtime,mode,hash,target,seq)"
                    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(path) DO UPDATE SET"
                    " type=?2,size=?3,mtime=?4,mode=?5,hash=?6,target=?7,seq=?8 WHERE seq<=?8",
                    "piiiihpi", e->path, (int64_t)e->type, e->size, e->mtime, (int64_t)e->mode,
                    &e->hash, e->target, e->seq);

    return rc < 0 ? rc : 0;
}

int replica_feed_stage(struct replica *r, const struct entry *entries, size_t n)
{
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = stage_one(r->db, &entries[i]);
    return tx_end(r, rc, "replica.feed.staged");
}

int replica_feed_drop(struct replica *r)
{
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = db_run(r->db, "DELETE FROM incoming", "");
    if (rc >= 0)
        rc = db_run(r->db, "DELETE FROM temp.answered", "");
    rc = tx_end(r, rc < 0 ? rc : 0, "replica.feed.dropped");
    return rc;
}

static int feed_one(struct apply *a, const struct entry *e, bool full, int64_t cursor_seq)
{
    struct row was, none = {0};
    int64_t confirmed = 0;
    int rc = 0;

    if (full)
        rc = db_get_int(a->r->db, 0, &confirmed, "SELECT seq FROM temp.answered WHERE path=?", "p",
                        e->path);
    if (rc < 0)
        return rc;
    rc = view_get(a->r->db, e->path, &was);
    if (rc == 0)
        rc = apply_entry(a, e, full && confirmed <= cursor_seq, &was, &none);
    if (rc == 0)
        rc = note(a, e->path, &was);
    row_release(&was);
    return rc;
}

static int apply_staged(struct apply *a, bool full, int64_t cursor_seq)
{
    sqlite3_stmt *st = db_query(
        a->r->db, "SELECT path,type,size,mtime,mode,hash,target,seq FROM incoming ORDER BY path",
        "");
    int rc;

    while ((rc = db_step(a->r->db, st)) == 1) {
        struct entry e = {0};
        e.path = xstrdup(db_col_text(st, 0));
        e.type = (enum entry_type)sqlite3_column_int(st, 1);
        e.size = sqlite3_column_int64(st, 2);
        e.mtime = sqlite3_column_int64(st, 3);
        e.mode = (uint32_t)sqlite3_column_int64(st, 4);
        db_col_hash(st, 5, &e.hash);
        if (sqlite3_column_type(st, 6) != SQLITE_NULL)
            e.target = xstrdup(db_col_text(st, 6));
        e.seq = sqlite3_column_int64(st, 7);
        rc = feed_one(a, &e, full, cursor_seq);
        entry_release(&e);
        if (rc < 0)
            break;
    }
    db_done(st);
    return rc;
}

/* A full listing: what it does not have is gone. */
static int remove_unlisted(struct apply *a, int64_t cursor_seq)
{
    struct strlist paths = {0};
    sqlite3_stmt *st = db_query(a->r->db,
                                "SELECT p FROM (SELECT CASE WHEN length(dir)=0 THEN name ELSE"
                                " CAST(dir || X'2F' || name AS BLOB) END AS p FROM base)"
                                " WHERE p NOT IN (SELECT path FROM incoming WHERE type<>0)"
                                " AND p NOT IN (SELECT path FROM temp.answered WHERE seq>?)",
                                "i", cursor_seq);
    int rc;

    while ((rc = db_step(a->r->db, st)) == 1)
        strlist_add(&paths, db_col_text(st, 0));
    for (size_t i = 0; rc == 0 && i < paths.n; i++) {
        struct row was;
        rc = view_get(a->r->db, paths.v[i], &was);
        if (rc == 0)
            rc = remove_row(a, paths.v[i], &was, 0);
        if (rc == 0)
            rc = note(a, paths.v[i], &was);
        row_release(&was);
    }
    strlist_release(&paths);
    return rc;
}

static int feed_commit_locked(struct apply *a, const char *cursor, bool full)
{
    struct db *db = a->r->db;
    struct cursor c = {.seq = -1};
    char *complete = meta_get(db, "complete");
    int rc;

    a->first = !*complete;
    free(complete);
    if (cursor_parse(cursor, &c) < 0)
        c.seq = full ? INT64_MAX : -1;
    if (full)
        rc = remove_unlisted(a, c.seq);
    else
        rc = 0;
    if (rc == 0)
        rc = apply_staged(a, full, c.seq);
    if (rc == 0)
        rc = db_run(db, "DELETE FROM incoming", "");
    if (rc >= 0)
        rc = db_run(db, "DELETE FROM base WHERE type=0 AND seq<=?", "i", c.seq);
    if (rc >= 0)
        rc = db_run(db, "DELETE FROM temp.answered WHERE seq<=?", "i", c.seq);
    if (rc >= 0)
        rc = meta_set(db, "cursor", cursor);
    if (rc == 0 && full && a->first)
        rc = meta_set(db, "complete", "1");
    return rc < 0 ? rc : 0;
}

int replica_feed_commit(struct replica *r, const char *cursor, bool full, struct strlist *changed)
{
    struct apply a = {.r = r, .changed = changed, .feed = true};
    int rc = tx_begin(r), rc2;

    if (rc < 0)
        return rc;
    rc = feed_commit_locked(&a, cursor, full);
    rc2 = finish(&a);
    rc = tx_end(r, rc < 0 ? rc : rc2, "replica.feed.committed");
    return rc;
}

/* --- the outbox towards the master --- */

static bool related(const char *a, const char *b, bool below_too)
{
    return a && b && (path_is_under(a, b) || (below_too && path_is_under(b, a)));
}

/* True when `op` needs one of the paths that a refused operation left undone. */
static bool depends(const struct op *op, const struct strlist *blocked)
{
    bool whole = op->kind == OP_RENAME || op->kind == OP_RMDIR;

    for (size_t i = 0; i < blocked->n; i++) {
        if (related(op->path, blocked->v[i], whole) || related(op->to, blocked->v[i], whole))
            return true;
    }
    return false;
}

static void block(struct strlist *blocked, const struct op *op)
{
    strlist_add(blocked, op->path);
    if (op->to)
        strlist_add(blocked, op->to);
}

/*
 * True while an earlier put of the same path is unanswered: should that become a conflict copy,
 * this operation belongs to the copy, so it must not be under way yet.
 */
static int awaits_put(struct db *db, const struct op *op)
{
    int64_t found = 0;
    int rc = db_get_int(db, 0, &found,
                        "SELECT EXISTS(SELECT 1 FROM outbox WHERE path IN (?1,?2) AND opid<?3"
                        " AND kind=?4 AND state IN ('q','s'))",
                        "ppii", op->path, op->to ? op->to : op->path, op->n, (int64_t)OP_PUT);

    return rc < 0 ? rc : (int)found;
}

static int take_locked(struct replica *r, int64_t after, size_t max, struct op *ret)
{
    struct strlist blocked = {0};
    sqlite3_stmt *st = db_query(r->db,
                                "SELECT " OUTBOX_COLS " FROM outbox WHERE opid > min(?,"
                                " (SELECT coalesce(min(opid),?)-1 FROM outbox WHERE state='x'))"
                                " AND state<>'o' ORDER BY opid",
                                "ii", after, INT64_MAX);
    size_t n = 0;
    int rc = 0;

    while (n < max && (rc = db_step(r->db, st)) == 1) {
        struct outbox_row o;
        rc = outbox_read(st, &o);
        if (rc < 0)
            break;
        if (o.state == STATE_QUARANTINED || depends(&o.op, &blocked)) {
            block(&blocked, &o.op);
        } else if (o.op.n > after) {
            rc = o.state == STATE_QUEUED ? awaits_put(r->db, &o.op) : 0;
            if (rc == 0) {
                ret[n++] = o.op;
                continue;
            }
        }
        outbox_row_release(&o);
        if (rc != 0)
            break;
    }
    db_done(st);
    strlist_release(&blocked);
    for (size_t i = 0; rc >= 0 && i < n; i++)
        rc = db_run(r->db, "UPDATE outbox SET state='s' WHERE opid=? AND state='q'", "i", ret[i].n);
    if (rc >= 0)
        return (int)n;
    for (size_t i = 0; i < n; i++)
        op_release(&ret[i]);
    return rc;
}

int replica_outbox_take(struct replica *r, int64_t after, size_t max, struct op *ret)
{
    int rc = tx_begin(r), n;

    if (rc < 0)
        return rc;
    n = take_locked(r, after, max, ret);
    rc = tx_end(r, n, "replica.outbox.taken");
    for (int i = 0; rc < 0 && i < n; i++)
        op_release(&ret[i]);
    return rc;
}

/* --- answers --- */

/* Views of the touched paths before the answer is applied. */
struct before {
    struct strlist paths; /* sorted */
    struct row *rows;
};

static int before_collect(struct before *b, struct replica *r, const struct op_answer *ans)
{
    sqlite3_stmt *st = db_query(r->db, "SELECT dir,name FROM overlay WHERE opid=?", "i", ans->n);
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0));
        char *path = path_join(dir, db_col_text(st, 1));
        strlist_add(&b->paths, path);
        free(path);
        free(dir);
    }
    for (size_t i = 0; i < ans->n_entries; i++)
        strlist_add(&b->paths, ans->entries[i].path);
    if (ans->copy)
        strlist_add(&b->paths, ans->copy);
    sort_unique(&b->paths);
    b->rows = xcalloc(b->paths.n + 1, sizeof(*b->rows));
    for (size_t i = 0; rc == 0 && i < b->paths.n; i++)
        rc = view_get(r->db, b->paths.v[i], &b->rows[i]);
    return rc;
}

static void before_release(struct before *b)
{
    for (size_t i = 0; b->rows && i < b->paths.n; i++)
        row_release(&b->rows[i]);
    free(b->rows);
    strlist_release(&b->paths);
}

static const struct row *before_find(const struct before *b, const char *path)
{
    char **at = bsearch(&path, b->paths.v, b->paths.n, sizeof(*b->paths.v), by_text);

    return &b->rows[at - b->paths.v];
}

static int note_answered(struct db *db, const struct entry *e)
{
    int rc = db_run(db, "INSERT OR REPLACE INTO temp.answered(path,seq) VALUES(?,?)", "pi", e->path,
                    e->seq);

    return rc < 0 ? rc : 0;
}

static int apply_answered(struct apply *a, const struct op_answer *ans, const struct before *b)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ans->n_entries; i++) {
        const struct entry *e = &ans->entries[i];
        struct row like = {0};

        if (ans->result == RESULT_DONE)
            rc = overlay_get(a->r->db, e->path, ans->n, &like);
        if (rc == 0)
            rc = apply_entry(a, e, false, before_find(b, e->path), &like);
        if (rc == 0 && like.exists && like.type != ENTRY_GONE) /* the feed was faster */
            rc = db_run(a->r->db, "UPDATE base SET ino=? WHERE dir=? AND name=? AND type=?", "ibpi",
                        (int64_t)like.ino, e->path, path_parent_len(e->path), path_base(e->path),
                        (int64_t)like.type);
        if (rc >= 0)
            rc = note_answered(a->r->db, e);
        row_release(&like);
    }
    return rc;
}

/* Later operations on a path whose content became a conflict copy go on with the copy, up to the
 * one that takes the name away. */
static int follow_copy(struct replica *r, const char *path, const char *copy, int64_t after)
{
    for (;;) {
        struct outbox_row o = {0};
        sqlite3_stmt *st = db_query(r->db,
                                    "SELECT " OUTBOX_COLS " FROM outbox WHERE path=? AND opid>?"
                                    " AND state='q' ORDER BY opid LIMIT 1",
                                    "pi", path, after);
        int rc = db_step(r->db, st);
        bool last;

        if (rc == 1) {
            rc = outbox_read(st, &o);
            db_done(st);
            if (rc == 0)
                rc = 1;
        }
        /* A creation is a file of its own, and so is all that follows. */
        if (rc <= 0 || o.op.kind == OP_MKDIR || o.op.kind == OP_SYMLINK ||
            (o.op.kind == OP_PUT && o.op.pre.kind == PRE_ABSENT)) {
            outbox_row_release(&o);
            return rc < 0 ? rc : 0;
        }
        after = o.op.n;
        last = o.op.kind == OP_UNLINK || o.op.kind == OP_RENAME;
        rc = db_run(r->db, "UPDATE outbox SET path=? WHERE opid=?", "pi", copy, o.op.n);
        if (rc >= 0)
            rc = overlay_move(r->db, path, o.op.n, copy, o.op.n);
        outbox_row_release(&o);
        if (rc < 0 || last)
            return rc < 0 ? rc : 0;
    }
}

static int remember_conflict(struct replica *r, const struct op_answer *ans, const struct op *op)
{
    struct row theirs;
    const char *path = op->kind == OP_RENAME && op->to ? op->to : op->path;
    int rc = base_get(r->db, path, &theirs);

    if (rc == 0)
        rc = db_run(r->db, "INSERT INTO conflict(path,copy,ours,theirs,time) VALUES(?,?,?,?,?)",
                    "pphhi", path, ans->copy ? ans->copy : path, &op->hash, &theirs.hash,
                    clock_wall_ns());
    row_release(&theirs);
    if (rc >= 0 && ans->copy)
        rc = follow_copy(r, path, ans->copy, op->n);
    return rc < 0 ? rc : 0;
}

static int quarantine(struct replica *r, const struct op_answer *ans)
{
    int rc = db_run(r->db, "UPDATE outbox SET state='x',code=?,error=? WHERE opid=? AND state<>'o'",
                    "ssi", ans->code, ans->error, ans->n);

    return rc < 0 ? rc : 0;
}

static int answer_locked(struct apply *a, const struct op_answer *ans, struct before *b)
{
    struct replica *r = a->r;
    struct outbox_row o;
    /* A folder that is not empty over there simply stays: nothing is lost by it. */
    bool refused = ans->result == RESULT_REFUSED;
    int known = outbox_get(r->db, ans->n, &o);
    int rc = known < 0 ? known : before_collect(b, r, ans);

    if (refused && known == 1 && o.op.kind == OP_RMDIR && ans->code &&
        strcmp(ans->code, "not_empty") == 0)
        refused = false;
    if (rc == 0)
        rc = apply_answered(a, ans, b);
    if (rc == 0 && refused)
        rc = quarantine(r, ans);
    if (rc == 0 && !refused && known == 1) {
        if (ans->result == RESULT_CONFLICT)
            rc = remember_conflict(r, ans, &o.op);
        if (rc == 0)
            rc = outbox_delete(r->db, ans->n);
        if (rc == 0)
            rc = db_run(r->db, "DELETE FROM overlay WHERE opid=?", "i", ans->n);
    }
    for (size_t i = 0; rc >= 0 && i < b->paths.n; i++) {
        rc = keep_folder(r, b->paths.v[i], &b->rows[i]);
        if (rc >= 0)
            rc = note(a, b->paths.v[i], &b->rows[i]);
    }
    outbox_row_release(&o);
    return rc < 0 ? rc : 0;
}

int replica_outbox_answer(struct replica *r, const struct op_answer *ans, struct strlist *changed)
{
    struct apply a = {.r = r, .changed = changed, .own = true};
    struct before b = {0};
    int rc, rc2;

    if (ans->result == RESULT_LATER)
        return 0;
    rc = tx_begin(r);
    if (rc < 0)
        return rc;
    rc = answer_locked(&a, ans, &b);
    rc2 = finish(&a);
    rc = tx_end(r, rc < 0 ? rc : rc2, "replica.answer.committed");
    before_release(&b);
    return rc;
}
