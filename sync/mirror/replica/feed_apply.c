/* SPDX-License-Identifier: MIT */
/*
 * feed_apply: feed pages go into the base. A full listing replaces everything, except what the
 * master confirmed while it was paged (temp table `answered`).
 */
#include "sync/mirror/replica/conflicts.h"
#include "sync/mirror/replica/lost.h"
#include "sync/mirror/replica/master_renames.h"
#include "sync/mirror/replica/view_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"
#include "sync/proto/cursor.h"

static int stage_one(struct db *db, const struct entry *e)
{
    int rc = db_run(db,
                    "INSERT INTO incoming(path,type,size,mtime,mode,hash,target,seq,hides)"
                    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9) ON CONFLICT(path) DO UPDATE SET"
                    " type=?2,size=?3,mtime=?4,mode=?5,hash=?6,target=?7,seq=?8,hides=?9"
                    " WHERE seq<=?8",
                    "piiiihpii", e->path, (int64_t)e->type, e->size, e->mtime, (int64_t)e->mode,
                    &e->hash, e->target, e->seq, (int64_t)e->hides);

    return rc < 0 ? rc : master_renames_stage(db, e);
}

int replica_feed_stage(struct replica *r, const struct entry *entries, size_t n)
{
    int rc = tx_begin_spare(r);

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
        rc = skipped_drop(r->db);
    if (rc >= 0)
        rc = master_renames_drop(r->db);
    if (rc >= 0)
        rc = db_run(r->db, "DELETE FROM temp.answered", "");
    rc = tx_end(r, rc < 0 ? rc : 0, "replica.feed.dropped");
    return rc;
}

static int feed_one(struct view_change *a, const struct entry *e, bool full, int64_t cursor_seq)
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
        rc = view_change_entry(a, e, full && confirmed <= cursor_seq, &was, &none);
    if (rc == 0)
        rc = view_change_note(a, e->path, &was);
    row_release(&was);
    return rc;
}

static int apply_staged(struct view_change *a, bool full, int64_t cursor_seq)
{
    sqlite3_stmt *st = db_query(
        a->r->db,
        "SELECT path,type,size,mtime,mode,hash,target,seq,hides FROM incoming ORDER BY path", "");
    struct buf folder = BUF_INIT;
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
        e.hides = sqlite3_column_int(st, 8);
        rc = feed_one(a, &e, full, cursor_seq);
        if (rc >= 0 && e.type != ENTRY_GONE)
            rc = skipped_check_parent(a->r, e.path, &folder);
        else
            buf_clear(&folder);
        entry_release(&e);
        if (rc < 0)
            break;
    }
    db_done(st);
    buf_release(&folder);
    return rc;
}

/* A full listing: entries that it lacks are gone, except those that it could not list. */
static int remove_unlisted(struct view_change *a, int64_t cursor_seq)
{
    struct strlist paths = {0};
    sqlite3_stmt *st = db_query(a->r->db,
                                "SELECT p FROM (SELECT CASE WHEN length(dir)=0 THEN name ELSE"
                                " CAST(dir || X'2F' || name AS BLOB) END AS p FROM base)"
                                " WHERE p NOT IN (SELECT path FROM incoming WHERE type<>0)"
                                " AND p NOT IN (SELECT path FROM skipped WHERE staged=1)"
                                " AND p NOT IN (SELECT path FROM temp.answered WHERE seq>?)",
                                "i", cursor_seq);
    int rc;

    while ((rc = db_step(a->r->db, st)) == 1)
        strlist_add(&paths, db_col_text(st, 0));
    for (size_t i = 0; rc == 0 && i < paths.n; i++) {
        struct row was;
        rc = view_get(a->r->db, paths.v[i], &was);
        if (rc == 0)
            rc = view_change_remove(a, paths.v[i], &was, 0);
        if (rc == 0)
            rc = view_change_note(a, paths.v[i], &was);
        row_release(&was);
    }
    strlist_release(&paths);
    return rc;
}

static int feed_commit_locked(struct view_change *a, const char *cursor, bool full)
{
    struct db *db = a->r->db;
    struct cursor c = {.seq = -1};
    char *complete = meta_get(db, "complete");
    bool unknown = false;
    int rc;

    a->first = !*complete && !replica_is_renewing(a->r); /* the kernel knows nothing yet */
    free(complete);
    if (cursor_parse(cursor, &c) < 0)
        c.seq = full ? INT64_MAX : -1;
    /* No change is newer than the set: an entry with a higher seq would never be replaced. */
    rc = db_run(db, "UPDATE incoming SET seq=?1 WHERE seq>?1", "i", c.seq < 0 ? INT64_MAX : c.seq);
    if (rc >= 0 && full)
        rc = skipped_any_unknown(db, &unknown);
    if (rc >= 0 && full)
        rc = lost_keep(a->r);
    if (rc >= 0 && c.seq >= 0)
        rc = lost_note_timeline(db, &c);
    if (rc >= 0 && a->moves)
        rc = master_renames_apply(a, full && !unknown, a->moves);
    if (rc >= 0)
        rc = master_renames_drop(db);
    if (rc >= 0 && full && !unknown)
        rc = remove_unlisted(a, c.seq);
    if (rc >= 0)
        rc = apply_staged(a, full, c.seq);
    if (rc >= 0)
        rc = skipped_commit(a->r, full);
    if (rc >= 0)
        rc = db_run(db, "DELETE FROM incoming", "");
    if (rc >= 0)
        rc = db_run(db, "DELETE FROM base WHERE type=0 AND seq<=?", "i", c.seq);
    if (rc >= 0)
        rc = db_run(db, "DELETE FROM temp.answered WHERE seq<=?", "i", c.seq);
    if (rc >= 0)
        rc = conflicts_settle(a->r);
    if (rc >= 0)
        rc = meta_set(db, "cursor", cursor);
    if (rc == 0 && full && a->first)
        rc = meta_set(db, "complete", "1");
    return rc < 0 ? rc : 0;
}

static int any_moves(struct replica *r)
{
    int rc;

    mutex_lock(&r->lock);
    rc = master_renames_staged(r->db);
    mutex_unlock(&r->lock);
    return rc;
}

int replica_feed_commit(struct replica *r, const char *cursor, bool full, struct strlist *changed)
{
    struct view_change a = {.r = r, .changed = changed, .feed = true};
    struct master_renames moves = {0};
    int rc = any_moves(r), rc2;

    if (rc < 0)
        return rc;
    if (rc == 1) {
        a.moves = &moves;
        master_renames_begin(r);
    }
    rc = tx_begin_spare(r);
    if (rc == 0) {
        rc = feed_commit_locked(&a, cursor, full);
        rc2 = view_change_finish(&a);
        rc = tx_end(r, rc < 0 ? rc : rc2, "replica.feed.committed");
    }
    if (a.moves) {
        if (rc < 0)
            master_renames_release(&moves);
        master_renames_end(r, &moves);
        master_renames_release(&moves);
    }
    return rc;
}
