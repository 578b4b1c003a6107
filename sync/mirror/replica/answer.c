/* SPDX-License-Identifier: MIT */
/*
 * answer: the master's answers to operations: their entries go into the base, the operations and
 * their rows in the overlay go out, or they are quarantined. Answers that follow one another are one
 * transaction; one that moves a file that was edited is by itself.
 */
#include "sync/mirror/replica/master_renames.h"
#include "sync/mirror/replica/conflicts.h"
#include "sync/mirror/replica/view_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/proto/wire.h"

static int note_answered(struct db *db, const struct entry *e)
{
    int rc = db_run(db, "INSERT OR REPLACE INTO temp.answered(path,seq) VALUES(?,?)", "pi", e->path,
                    e->seq);

    return rc < 0 ? rc : 0;
}

/*
 * An answer may be old: lost at first, and given again after others changed the same paths. What
 * the feed has passed already it knew better, also where nothing is left of it in the base.
 */
static int apply_answered(struct view_change *a, const struct op_answer *ans,
                          const struct view_snapshot *b)
{
    int64_t told = feed_seq(a->r->db);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ans->n_entries; i++) {
        const struct entry *e = &ans->entries[i];
        struct row like = {0};

        if (ans->result == RESULT_DONE)
            rc = overlay_get(a->r->db, e->path, ans->n, &like);
        if (rc == 0 && !like.exists && e->moved_from && ans->result == RESULT_DONE)
            rc = overlay_get(a->r->db, e->moved_from, ans->n, &like);
        if (rc == 0 && e->seq > told)
            rc = view_change_entry(a, e, false, snapshot_find(b, e->path), &like);
        if (rc == 0 && view_change_is_version(&like, e)) /* the feed was faster */
            rc = db_run(a->r->db,
                        "UPDATE base SET ino=?1,atime=?7,own=1 WHERE dir=?2 AND name=?3 AND type=?4"
                        " AND hash IS ?5 AND target IS ?6",
                        "ibpihpi", (int64_t)like.ino, e->path, path_parent_len(e->path),
                        path_base(e->path), (int64_t)like.type, &e->hash, e->target, like.atime);
        if (rc >= 0)
            rc = note_answered(a->r->db, e);
        row_release(&like);
    }
    return rc;
}

static int quarantine(struct replica *r, const struct op_answer *ans)
{
    int rc = db_run(r->db, "UPDATE outbox SET state='x',code=?,error=? WHERE opid=? AND state<>'o'",
                    "ssi", ans->code, ans->error, ans->n);

    return rc < 0 ? rc : 0;
}

static int apply_locked(struct view_change *a, const struct op_answer *ans, struct view_snapshot *b)
{
    struct replica *r = a->r;
    struct outbox_row o;
    /* A folder that is not empty over there simply stays: nothing is lost by it. */
    bool refused = ans->result == RESULT_REFUSED;
    int known = outbox_get(r->db, ans->n, &o);
    int rc = known < 0 ? known : snapshot_add_op(b, r, ans->n);

    for (size_t i = 0; i < ans->n_entries; i++)
        strlist_add(&b->paths, ans->entries[i].path);
    if (ans->copy)
        strlist_add(&b->paths, ans->copy);
    if (rc == 0)
        rc = snapshot_look(b, r);
    if (refused && known == 1 && o.op.kind == OP_RMDIR && ans->code &&
        strcmp(ans->code, WIRE_R_NOT_EMPTY) == 0)
        refused = false;
    if (rc == 0)
        rc = apply_answered(a, ans, b);
    if (rc == 0 && refused)
        rc = quarantine(r, ans);
    a->put = known == 1 && o.op.kind == OP_PUT;
    if (rc == 0 && !refused && known == 1) {
        if (ans->result == RESULT_CONFLICT)
            rc = conflicts_remember(r, ans, &o.op);
        if (rc == 0)
            rc = outbox_drop(r->db, ans->n);
    }
    if (rc == 0)
        rc = snapshot_note(b, a);
    outbox_row_release(&o);
    return rc;
}

/* Within one transaction. */
static int apply_all(struct view_change *a, const struct op_answer *answers, size_t n)
{
    int rc = tx_begin(a->r), rc2;

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct view_snapshot b = {0};

        rc = apply_locked(a, &answers[i], &b);
        snapshot_release(&b);
    }
    if (rc == 0)
        rc = conflicts_settle(a->r);
    rc2 = view_change_finish(a);
    return tx_end(a->r, rc < 0 ? rc : rc2, "replica.answer.committed");
}

/* What a later change of this mirror has put under the old name is not what was moved. */
static int apply_moved(struct view_change *a, const struct op_answer *ans, const char *from,
                       const char *to)
{
    struct master_renames moves = {0};
    struct node_attr there;
    int rc;

    master_renames_begin(a->r);
    rc = apply_all(a, ans, 1);
    if (rc >= 0 && a->put && replica_lookup(a->r, from, &there) == -ENOENT)
        master_renames_add(&moves, from, to, false);
    master_renames_end(a->r, &moves);
    master_renames_release(&moves);
    return rc;
}

int replica_outbox_answers(struct replica *r, const struct op_answer *answers, size_t n,
                           struct strlist *changed)
{
    struct view_change a = {.r = r, .changed = changed, .own = true};
    const char *from = NULL, *to = NULL;
    size_t run = 0;
    bool moved = false;
    int rc = 0;

    while (run < n && answers[run].result != RESULT_LATER &&
           !(moved = master_renames_answered(&answers[run], &from, &to)))
        run++;
    if (run > 0)
        rc = apply_all(&a, answers, run);
    else if (moved)
        rc = apply_moved(&a, answers, from, to);
    return rc < 0 ? rc : run > 0 ? (int)run : moved;
}
