/* SPDX-License-Identifier: MIT */
/*
 *   staged page  hints go into temp.moved                                      master_renames_stage
 *   commit       hints that fit what base and staged set say are renames       find
 *                operations that were never sent get the new names             find_followers
 *                … with their rows in the overlay                              follow_all
 *   after it     fs moves its nodes                                            master_renames_end
 */
#include "sync/mirror/replica/master_renames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/mirror/replica/view_change.h"

#define HOPS_MAX 16 /* renames of one file in one set */

int master_renames_stage(struct db *db, const struct entry *e)
{
    int rc = e->moved_from
                 ? db_run(db, "INSERT OR REPLACE INTO temp.moved(path,moved_from) VALUES(?,?)",
                          "pp", e->path, e->moved_from)
                 : db_run(db, "DELETE FROM temp.moved WHERE path=?", "p", e->path);

    return rc < 0 ? rc : 0;
}

int master_renames_staged(struct db *db)
{
    int64_t found = 0;
    int rc = db_get_int(db, 0, &found, "SELECT EXISTS(SELECT 1 FROM temp.moved)", "");

    return rc < 0 ? rc : (int)found;
}

int master_renames_drop(struct db *db)
{
    int rc = db_run(db, "DELETE FROM temp.moved", "");

    return rc < 0 ? rc : 0;
}

static int by_from(const void *a, const void *b)
{
    return strcmp(((const struct master_rename *)a)->from, ((const struct master_rename *)b)->from);
}

/* What is known to be the same comes first. */
static int by_from_and_row(const void *a, const void *b)
{
    int c = by_from(a, b);

    return c ? c
             : ((const struct master_rename *)b)->was.exists -
                   ((const struct master_rename *)a)->was.exists;
}

/* Sorted by `from`, each once: of several that came from one name, only one can be it. */
static void sort_unique(struct master_renames *m)
{
    size_t n = 0;

    if (m->n > 0)
        qsort(m->v, m->n, sizeof(*m->v), by_from_and_row);
    for (size_t i = 0; i < m->n; i++) {
        if (n > 0 && strcmp(m->v[n - 1].from, m->v[i].from) == 0) {
            free(m->v[i].from);
            free(m->v[i].to);
            row_release(&m->v[i].was);
        } else {
            m->v[n++] = m->v[i];
        }
    }
    m->n = n;
}

/* --- which hints are renames --- */

/* The base's live path from which `path` came, by one or more renames: malloc'd in *ret, with its
 * row. 1, 0: there is none, -errno. */
static int find_origin(struct db *db, const char *moved_from, char **ret, struct row *row)
{
    char *path = xstrdup(moved_from);
    int rc = 0;

    for (int hop = 0; hop < HOPS_MAX; hop++) {
        sqlite3_stmt *st;

        rc = base_get(db, path, row);
        if (rc == 0 && row->exists && row->type != ENTRY_GONE) {
            *ret = path;
            return 1;
        }
        row_release(row);
        if (rc < 0)
            break;
        st = db_query(db, "SELECT moved_from FROM temp.moved WHERE path=?", "p", path);
        rc = db_step(db, st);
        if (rc == 1) {
            free(path);
            path = xstrdup(db_col_text(st, 0));
        }
        db_done(st);
        if (rc <= 0)
            break;
    }
    free(path);
    return rc < 0 ? rc : 0;
}

/* The staged set's entry of a path: its type, -1: nothing, -2 or less: -errno - 1. */
static int staged_type(struct db *db, const char *path)
{
    int64_t type = -1;
    int rc = db_get_int(db, -1, &type, "SELECT type FROM incoming WHERE path=?", "p", path);

    return rc < 0 ? rc - 1 : (int)type;
}

/* 1: the staged set leaves what the base has at `from`; 0: it is replaced there. */
static int is_left(struct db *db, const char *from, const struct row *was)
{
    int64_t same = 0;
    int rc = db_get_int(db, 0, &same, "SELECT hash IS ? AND type=? FROM incoming WHERE path=?",
                        "hip", &was->hash, (int64_t)was->type, from);

    return rc < 0 ? rc : (int)same;
}

/* 1: an answer told of a later change of one of the two names, and the base has that. */
static int is_past(struct db *db, const char *from, const struct entry *e)
{
    int64_t later = 0;
    int rc = db_get_int(db, 0, &later,
                        "SELECT EXISTS(SELECT 1 FROM temp.answered WHERE path IN (?,?) AND seq>?)",
                        "ppi", from, e->path, e->seq);

    return rc < 0 ? rc : (int)later;
}

/*
 * 1: `e` is what was at `from`, of which the base has `was`. The old name may be gone in this set,
 * or have something else (another folder looks like the old one); or what the master has put there
 * comes with the next one.
 */
static int is_move(struct db *db, const struct entry *e, const char *from, const struct row *was,
                   bool full)
{
    int there = staged_type(db, from), rc;
    bool gone = there == ENTRY_GONE || (there == -1 && full);
    bool same = view_change_is_version(was, e), taken;
    struct row to;

    if (there < -1)
        return there + 1;
    if (was->type != (int)e->type || strcmp(from, e->path) == 0)
        return 0;
    if (!gone && (!same || (full && e->type == ENTRY_DIR)))
        return 0;
    rc = is_past(db, from, e);
    /* Of a folder nothing tells whether it is another one. */
    if (rc == 0 && there > 0 && e->type != ENTRY_DIR)
        rc = is_left(db, from, was);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = base_get(db, e->path, &to);
    taken = rc == 0 && to.exists && to.type != ENTRY_GONE;
    if (taken && (view_change_is_version(&to, e) || (!gone && there == -1)))
        same = gone = false; /* it was there before: an old hint */
    row_release(&to);
    if (rc < 0)
        return rc;
    return same || (gone && !taken);
}

/* The old name, which this set does not mention, is about to get another entry; another folder has it already. */
static int leave(struct view_change *a, const char *from, const struct row *was)
{
    struct row row = *was;
    int rc = staged_type(a->r->db, from);

    if (rc != -1 && !(rc == ENTRY_DIR && was->type == ENTRY_DIR))
        return rc < -1 ? rc + 1 : 0;
    row.ino = (uint64_t)a->r->now.next_ino++;
    return base_put(a->r->db, from, &row);
}

/*
 * 1: what this mirror has at `from` is no business of the master's rename: not what the base has
 * there, or moved away or removed here, which the master does not know or has not confirmed. Then
 * this may be that rename, reported before its answer, and what is there by now was moved back.
 */
static int is_other(struct db *db, const char *from, const struct row *was)
{
    struct row view;
    int64_t left = 0;
    int rc = view_get(db, from, &view);
    bool same = view.exists && view.ino == was->ino;

    row_release(&view);
    if (rc == 0 && same)
        rc = db_get_int(db, 0, &left,
                        "SELECT EXISTS(SELECT 1 FROM overlay WHERE dir=? AND name=? AND type=0)",
                        "bp", from, path_parent_len(from), path_base(from));
    return rc < 0 ? rc : !same || left;
}

static int find(struct view_change *a, bool full, struct master_renames *ret)
{
    struct db *db = a->r->db;
    sqlite3_stmt *st =
        db_query(db,
                 "SELECT i.path,i.type,i.hash,i.target,m.moved_from,i.seq FROM temp.moved m"
                 " JOIN incoming i ON i.path=m.path WHERE i.type<>0 ORDER BY i.path",
                 "");
    int rc;

    while ((rc = db_step(db, st)) == 1) {
        struct entry e = {.path = xstrdup(db_col_text(st, 0)),
                          .type = (enum entry_type)sqlite3_column_int(st, 1),
                          .seq = sqlite3_column_int64(st, 5)};
        struct row was = {0};
        char *from = NULL;

        db_col_hash(st, 2, &e.hash);
        if (sqlite3_column_type(st, 3) != SQLITE_NULL)
            e.target = xstrdup(db_col_text(st, 3));
        rc = find_origin(db, db_col_text(st, 4), &from, &was);
        if (rc == 1)
            rc = is_move(db, &e, from, &was, full);
        if (rc == 1) {
            int other = is_other(db, from, &was);

            rc = other < 0 ? other : full ? 0 : leave(a, from, &was);
            if (!other && a->changed) /* also where the view has the same there as before */
                strlist_add(a->changed, from);
            master_renames_add(ret, from, e.path, was.type == ENTRY_DIR);
            ret->v[ret->n - 1].other = other > 0;
            if (view_change_is_version(&was, &e)) {
                ret->v[ret->n - 1].was = was;
                was.target = NULL;
            }
        }
        row_release(&was);
        free(from);
        entry_release(&e);
        if (rc < 0)
            break;
    }
    db_done(st);
    sort_unique(ret);
    return rc < 0 ? rc : 0;
}

/* --- changes that were never sent go along --- */

/* The move that takes `path` along: its own, or that of the nearest folder. m is sorted by `from`.
 */
static const struct master_rename *move_of(const struct master_renames *m, const char *path)
{
    char *at = xstrdup(path);
    const struct master_rename *found = NULL;

    for (char *end = at + strlen(at); !found && m->n > 0 && end; end = strrchr(at, '/')) {
        struct master_rename key = {.from = at};

        *end = '\0';
        found = bsearch(&key, m->v, m->n, sizeof(*m->v), by_from);
        if (found && (found->other || (!found->folder && strcmp(found->from, path) != 0)))
            found = NULL;
    }
    free(at);
    return found;
}

struct follower {
    int64_t opid;
    char *path, *to;
    const struct master_rename *move;
};

struct followers {
    struct follower *v;
    size_t n, cap;
};

static void followers_release(struct followers *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->v[i].path);
        free(f->v[i].to);
    }
    free(f->v);
}

/* 1: something local has that name, which then is not ours to give. */
static int is_taken(struct db *db, const char *path)
{
    int64_t found = 0;
    int rc =
        db_get_int(db, 0, &found, "SELECT EXISTS(SELECT 1 FROM overlay WHERE dir=? AND name=?)",
                   "bp", path, path_parent_len(path), path_base(path));

    return rc < 0 ? rc : (int)found;
}

/* Where one operation goes along, 1 with *ret; 0: it stays. */
static int follows(struct replica *r, const struct master_renames *m, const struct op *op,
                   struct follower *ret)
{
    const struct master_rename *v = move_of(m, op->path);
    char *to;
    int rc;

    if (!v)
        return 0;
    to = xasprintf("%s%s", v->to, op->path + strlen(v->from));
    rc = path_check(to) == 0 && replica_writable(r, to) ? is_taken(r->db, to) : 1;
    if (rc != 0) {
        free(to);
        return rc < 0 ? rc : 0;
    }
    *ret = (struct follower){op->n, xstrdup(op->path), to, v};
    return 1;
}

/* Operations that only change or create the entries that they name. Where an entry below was
 * renamed or removed here as well, the master resolves it. */
static int find_followers(struct replica *r, const struct master_renames *m, struct followers *ret)
{
    sqlite3_stmt *st = db_query(
        r->db, "SELECT " OUTBOX_COLS " FROM outbox WHERE state IN ('o','q') ORDER BY opid", "");
    bool tangled = false;
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        struct follower one;
        struct outbox_row o;
        bool plain;

        rc = outbox_read(st, &o);
        if (rc < 0)
            break;
        plain = o.op.kind == OP_PUT || o.op.kind == OP_SETATTR || o.op.kind == OP_MKDIR ||
                o.op.kind == OP_SYMLINK;
        if (plain)
            rc = follows(r, m, &o.op, &one);
        else
            tangled |= move_of(m, o.op.path) || (o.op.to && move_of(m, o.op.to));
        outbox_row_release(&o);
        if (rc < 0)
            break;
        if (rc == 1) {
            if (ret->n == ret->cap) {
                ret->cap = ret->cap ? 2 * ret->cap : 16;
                ret->v = xrealloc(ret->v, ret->cap * sizeof(*ret->v));
            }
            ret->v[ret->n++] = one;
        }
    }
    db_done(st);
    if (tangled) {
        followers_release(ret);
        *ret = (struct followers){0};
    }
    return rc < 0 ? rc : 0;
}

/* The rows that operation f lies over, below what moved; old and new names. */
static int rows_of(struct replica *r, const struct follower *f, struct strlist *from,
                   struct strlist *to)
{
    sqlite3_stmt *st = db_query(r->db, "SELECT dir,name FROM overlay WHERE opid=?", "i", f->opid);
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0)), *path = path_join(dir, db_col_text(st, 1));

        if (path_is_under(path, f->move->from)) {
            char *new = xasprintf("%s%s", f->move->to, path + strlen(f->move->from));
            strlist_add(from, path);
            strlist_add(to, new);
            free(new);
        }
        free(path);
        free(dir);
    }
    return rc;
}

static int move_rows(struct replica *r, const struct follower *f)
{
    struct strlist from = {0}, to = {0};
    int rc = rows_of(r, f, &from, &to);

    if (rc == 0)
        rc = db_run(r->db, "UPDATE outbox SET path=?,known=0 WHERE opid=?", "pi", f->to, f->opid);
    for (size_t i = 0; rc >= 0 && i < from.n; i++)
        rc = overlay_move(r->db, from.v[i], f->opid, to.v[i], f->opid);
    strlist_release(&from);
    strlist_release(&to);
    return rc < 0 ? rc : 0;
}

static int follow_all(struct view_change *a, const struct followers *f)
{
    struct view_snapshot b = {0};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < f->n; i++)
        rc = rows_of(a->r, &f->v[i], &b.paths, &b.paths);
    if (rc == 0)
        rc = snapshot_look(&b, a->r);
    for (size_t i = 0; rc == 0 && i < f->n; i++)
        rc = move_rows(a->r, &f->v[i]);
    if (rc == 0)
        rc = snapshot_note(&b, a);
    snapshot_release(&b);
    return rc;
}

/* What does not go along is named as it was before this set, and the master sorts it out by that. */
static int know_no_more(struct db *db)
{
    int64_t told = feed_seq(db);
    int rc = told > 0
                 ? db_run(db, "UPDATE outbox SET known=? WHERE state='q' AND known=0", "i", told)
                 : 0;

    return rc < 0 ? rc : 0;
}

int master_renames_apply(struct view_change *a, bool full, struct master_renames *ret)
{
    struct followers f = {0};
    int rc = find(a, full, ret);

    if (rc == 0 && ret->n > 0)
        rc = know_no_more(a->r->db);
    if (rc == 0 && ret->n > 0)
        rc = find_followers(a->r, ret, &f);
    if (rc == 0 && f.n > 0)
        rc = follow_all(a, &f);
    /* A number that local changes still show at the old name is not given to the new one. */
    for (size_t i = 0; rc == 0 && i < ret->n; i++) {
        rc = ret->v[i].folder ? 0 : is_taken(a->r->db, ret->v[i].from);
        if (rc == 1) {
            row_release(&ret->v[i].was);
            rc = 0;
        }
    }
    followers_release(&f);
    master_renames_sort(ret);
    return rc;
}

bool master_renames_answered(const struct op_answer *ans, const char **from, const char **to)
{
    if (ans->result != RESULT_DONE)
        return false;
    for (size_t i = 0; i < ans->n_entries; i++) {
        const struct entry *e = &ans->entries[i];

        if (e->type != ENTRY_FILE || !e->moved_from)
            continue;
        for (size_t j = 0; j < ans->n_entries; j++) {
            if (ans->entries[j].type == ENTRY_GONE &&
                strcmp(ans->entries[j].path, e->moved_from) == 0) {
                *from = e->moved_from;
                *to = e->path;
                return true;
            }
        }
    }
    return false;
}

/* --- fs --- */

void replica_on_moves(struct replica *r, replica_moved_fn *fn, void *arg)
{
    r->moved = fn;
    r->moved_arg = arg;
}

void master_renames_begin(struct replica *r)
{
    if (r->moved)
        r->moved(r->moved_arg, NULL, 0, true);
}

void master_renames_end(struct replica *r, const struct master_renames *m)
{
    struct replica_move *v;
    size_t n = 0;

    if (!r->moved)
        return;
    v = xcalloc(m->n + 1, sizeof(*v));
    for (size_t i = 0; i < m->n; i++)
        if (!m->v[i].other)
            v[n++] = (struct replica_move){m->v[i].from, m->v[i].to, m->v[i].folder};
    r->moved(r->moved_arg, v, n, false);
    free(v);
}
