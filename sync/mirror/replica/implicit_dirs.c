/* SPDX-License-Identifier: MIT */
/*
 * implicit_dirs: folders that are in the view only because local entries lie in them. The overlay
 * row of such a folder has the number of the last operation below it; it goes, or changes its
 * number, with that operation.
 */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

/* The highest opid of live overlay entries below `path`; 0: none. */
static int live_below(struct db *db, const char *path, int64_t *ret)
{
    struct subtree s;
    int rc;

    subtree_init(&s, path);
    rc = db_get_int(db, 0, ret,
                    "SELECT max(m) FROM (SELECT type, max(opid) AS m FROM overlay"
                    " WHERE dir=?1 OR (dir>=?2 AND dir<?3) GROUP BY dir,name) WHERE type<>0",
                    "ppp", path, s.from, s.to);
    subtree_release(&s);
    return rc;
}

int implicit_dirs_keep(struct replica *r, const char *path, const struct row *was)
{
    struct row now, keep = *was;
    int64_t opid = 0, top = 0;
    int rc;

    if (was->type != ENTRY_DIR)
        return 0;
    rc = view_get(r->db, path, &now);
    if (rc < 0)
        return rc;
    if (now.exists && now.type == ENTRY_DIR) {
        row_release(&now);
        return 0;
    }
    row_release(&now);
    rc = live_below(r->db, path, &opid);
    if (rc == 0)
        rc = db_get_int(r->db, 0, &top, "SELECT max(opid) FROM overlay WHERE dir=? AND name=?",
                        "bp", path, path_parent_len(path), path_base(path));
    if (rc < 0 || opid == 0 || top >= opid)
        return rc;
    keep.target = NULL;
    return overlay_put(r->db, path, opid, &keep);
}

/* The overlay rows of operation `opid` are taken out: those of the folders that it kept. In *ret
 * are those that were seen; a later operation may have moved such a folder away. */
static int take_kept(struct replica *r, int64_t opid, struct strlist *paths, struct row **ret)
{
    sqlite3_stmt *st = db_query(
        r->db, "SELECT dir,name FROM overlay WHERE opid=? ORDER BY length(dir)", "i", opid);
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0)), *path = path_join(dir, db_col_text(st, 1));
        strlist_add(paths, path);
        free(path);
        free(dir);
    }
    *ret = xcalloc(paths->n + 1, sizeof(**ret));
    for (size_t i = 0; rc == 0 && i < paths->n; i++) {
        rc = view_get(r->db, paths->v[i], &(*ret)[i]);
        if (rc == 0 && (*ret)[i].opid != opid)
            row_release(&(*ret)[i]);
        if (rc == 0)
            rc = overlay_delete(r->db, paths->v[i], opid);
    }
    return rc;
}

/* A folder that nothing keeps any more, and that the master does not have: made here, then. */
static int make_kept(struct replica *r, const char *path, const struct row *row)
{
    struct op op = {.kind = OP_MKDIR, .has_mtime = true, .mtime = row->mtime, .mode = row->mode};
    struct row now;
    int rc = view_get(r->db, path, &now);

    if (rc == 0 && row->exists && now.type != ENTRY_DIR) {
        op.path = xstrdup(path);
        rc = outbox_log(r, &op, STATE_QUEUED, row);
        op_release(&op);
    }
    row_release(&now);
    return rc;
}

int implicit_dirs_on(struct replica *r, int64_t opid)
{
    struct strlist paths = {0};
    struct row *rows;
    int rc = take_kept(r, opid, &paths, &rows);

    for (size_t i = 0; rc == 0 && i < paths.n; i++)
        rc = implicit_dirs_keep(r, paths.v[i], &rows[i]);
    for (size_t i = 0; rc == 0 && i < paths.n; i++)
        rc = make_kept(r, paths.v[i], &rows[i]);
    for (size_t i = 0; i < paths.n; i++)
        row_release(&rows[i]);
    free(rows);
    strlist_release(&paths);
    return rc;
}
