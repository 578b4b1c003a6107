/* SPDX-License-Identifier: MIT */
/*
 * What the caller does to a path it does between two looks at the view: before (snapshot_look, or
 * the row that it read) and after (view_change_note), so only real differences are reported, and
 * counters and ctimes follow them. view_change_finish() then sees to the folders whose listing
 * changed.
 */
#include "sync/mirror/replica/view_change.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void view_change_sort(struct strlist *l)
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

/* Nothing that is seen changes without a new ctime, and no ctime goes back. */
static int settle_ctime(struct view_change *a, const char *path, const struct row *was,
                        struct row *now)
{
    int64_t ctime = now->ctime;

    if (!was->exists || !now->exists || !*path)
        return 0;
    if (row_same(was, now))
        now->ctime = was->ctime;
    else if (ctime <= was->ctime) {
        now->ctime = was->ctime;
        row_stamp(now);
    }
    return now->ctime == ctime ? 0 : view_set_times(a->r->db, path, now);
}

int view_change_note(struct view_change *a, const char *path, const struct row *was)
{
    struct row now;
    int rc = view_get(a->r->db, path, &now);

    if (rc == 0)
        rc = settle_ctime(a, path, was, &now);
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

int view_change_finish(struct view_change *a)
{
    /* Then the folder's own entry says it. */
    bool told = (a->feed || a->own) && atomic_load(&a->r->folder_times);
    int rc = 0;

    view_change_sort(&a->folders);
    view_change_sort(&a->created);
    for (size_t i = 0; rc == 0 && i < a->folders.n; i++) {
        struct row v;
        if (has(&a->created, a->folders.v[i]))
            continue;
        rc = view_get(a->r->db, a->folders.v[i], &v);
        if (rc == 0 && v.exists) {
            if (!told)
                rc = touch_folder(a->r, a->folders.v[i]);
            if (a->changed)
                strlist_add(a->changed, a->folders.v[i]);
        }
        row_release(&v);
    }
    if (a->changed)
        view_change_sort(a->changed);
    strlist_release(&a->folders);
    strlist_release(&a->created);
    return rc;
}

/* --- one entry into the base --- */

int view_change_remove(struct view_change *a, const char *path, const struct row *was, int64_t seq)
{
    struct db *db = a->r->db;
    int rc;

    if (a->own) {
        struct row gone = {.type = ENTRY_GONE, .seq = seq};
        rc = base_put(db, path, &gone);
    } else {
        rc = base_delete(db, path);
    }
    return rc < 0 ? rc : implicit_dirs_keep(a->r, path, was);
}

/* Removes the rows of the base below a folder that is gone, unless they are newer. */
static int remove_below(struct view_change *a, const char *dir, int64_t seq)
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
            rc = view_change_remove(a, paths.v[i], &was, seq);
        if (rc == 0)
            rc = view_change_note(a, paths.v[i], &was);
        row_release(&was);
    }
    strlist_release(&paths);
    return rc;
}

bool view_change_is_version(const struct row *row, const struct entry *e)
{
    if (!row->exists || row->type != (int)e->type)
        return false;
    if (e->type == ENTRY_FILE)
        return hash_eq(&row->hash, &e->hash);
    return e->type == ENTRY_DIR ||
           (row->target && e->target && strcmp(row->target, e->target) == 0);
}

/* What is known already of what came, here made or from there: it keeps its number and times. What
 * came from the master as a new version is another file to whoever compares st_ino: NULL. */
static const struct row *known_as(const struct entry *e, const struct row *base,
                                  const struct row *view, const struct row *like)
{
    if (view_change_is_version(like, e))
        return like;
    if (view_change_is_version(base, e))
        return base;
    return view_change_is_version(view, e) ? view : NULL;
}

/* `like`: the overlay row that this entry confirms (inode, times), or none. */
static int upsert(struct view_change *a, const struct entry *e, const struct row *base,
                  const struct row *view, const struct row *like)
{
    struct row row = {.exists = true,
                      .type = (int)e->type,
                      .size = e->size,
                      .mtime = e->mtime,
                      .mode = e->mode,
                      .hash = e->hash,
                      .target = e->target,
                      .hides = e->hides,
                      .seq = e->seq,
                      .own = like->exists || (base->own && base->seq == e->seq)};
    const struct row *known = known_as(e, base, view, like), *moved = NULL;

    if (!known && a->moves)
        known = moved = master_renames_row(a->moves, e->path);
    row.ino = known ? known->ino : (uint64_t)a->r->now.next_ino++;
    row.atime = known ? known->atime : row.mtime;
    row.ctime = known ? known->ctime : view->ctime;
    if (row.type == ENTRY_DIR && like->exists && like->type == ENTRY_DIR)
        row.mtime = like->mtime;
    if (!known || moved || (!a->first && !row_same(known, &row)))
        row_stamp(&row);
    return base_put(a->r->db, e->path, &row);
}

int view_change_entry(struct view_change *a, const struct entry *e, bool void_seqs,
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
            rc = implicit_dirs_keep(a->r, e->path, view);
    } else if (base.exists || a->own) {
        rc = view_change_remove(a, e->path, view, e->seq);
    }
out:
    row_release(&base);
    return rc;
}

/* --- before and after --- */

int snapshot_add_op(struct view_snapshot *b, struct replica *r, int64_t opid)
{
    sqlite3_stmt *st = db_query(r->db, "SELECT dir,name FROM overlay WHERE opid=?", "i", opid);
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0));
        char *path = path_join(dir, db_col_text(st, 1));
        strlist_add(&b->paths, path);
        free(path);
        free(dir);
    }
    return rc;
}

int snapshot_look(struct view_snapshot *b, struct replica *r)
{
    int rc = 0;

    view_change_sort(&b->paths);
    b->rows = xcalloc(b->paths.n + 1, sizeof(*b->rows));
    for (size_t i = 0; rc == 0 && i < b->paths.n; i++)
        rc = view_get(r->db, b->paths.v[i], &b->rows[i]);
    return rc;
}

const struct row *snapshot_find(const struct view_snapshot *b, const char *path)
{
    char **at = bsearch(&path, b->paths.v, b->paths.n, sizeof(*b->paths.v), by_text);

    return &b->rows[at - b->paths.v];
}

int snapshot_note(const struct view_snapshot *b, struct view_change *a)
{
    int rc = 0;

    for (size_t i = 0; rc >= 0 && i < b->paths.n; i++) {
        rc = implicit_dirs_keep(a->r, b->paths.v[i], &b->rows[i]);
        if (rc >= 0)
            rc = view_change_note(a, b->paths.v[i], &b->rows[i]);
    }
    return rc < 0 ? rc : 0;
}

void snapshot_release(struct view_snapshot *b)
{
    for (size_t i = 0; b->rows && i < b->paths.n; i++)
        row_release(&b->rows[i]);
    free(b->rows);
    strlist_release(&b->paths);
}
