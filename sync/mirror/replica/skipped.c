/* SPDX-License-Identifier: MIT */
/*
 * skipped: entries of the master that this mirror cannot take: noted while a page set is staged,
 * listed from its commit on, and struck off when a later entry of the path can be taken. The path
 * "" stands for lines of which not even the path is known.
 */
#include "sync/mirror/replica/view_change.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

#define NOTED_MAX 1000 /* of one set */
#define SHOWN_MAX 50

static const char NO_FOLDER[] = "its folder is not in the master's listing";
static const char NO_DIR[] = "what should be its folder is a file or a link";

static int note(struct db *db, const char *path, int staged, const char *why)
{
    int rc = db_run(db, "INSERT OR REPLACE INTO skipped(path,staged,why) VALUES(?,?,?)", "pis",
                    path, (int64_t)staged, why);

    return rc < 0 ? rc : 0;
}

int replica_feed_skip(struct replica *r, const char *path, const char *why)
{
    int64_t n = 0;
    int rc = tx_begin_spare(r);

    if (rc < 0)
        return rc;
    rc = db_get_int(r->db, 0, &n, "SELECT count(*) FROM skipped WHERE staged=1", "");
    if (rc >= 0) /* beyond that none is known by its path */
        rc = note(r->db, n < NOTED_MAX ? path : "", 1, why);
    return tx_end(r, rc, "replica.feed.skipped");
}

int skipped_drop(struct db *db)
{
    int rc = db_run(db, "DELETE FROM skipped WHERE staged=1", "");

    return rc < 0 ? rc : 0;
}

int skipped_any_unknown(struct db *db, bool *ret)
{
    int64_t n = 0;
    int rc =
        db_get_int(db, 0, &n, "SELECT count(*) FROM skipped WHERE staged=1 AND length(path)=0", "");

    *ret = n > 0;
    return rc < 0 ? rc : 0;
}

/* 1: the base or the view has a folder there. */
static int is_folder(struct replica *r, const char *path, bool *exists)
{
    struct row v;
    int rc = base_get(r->db, path, &v);
    bool is = v.exists && v.type == ENTRY_DIR;

    *exists = v.exists && v.type != ENTRY_GONE;
    row_release(&v);
    if (rc < 0 || is)
        return rc < 0 ? rc : 1;
    rc = view_get(r->db, path, &v);
    is = v.exists && v.type == ENTRY_DIR;
    row_release(&v);
    return rc < 0 ? rc : is;
}

int skipped_check_parent(struct replica *r, const char *path, struct buf *known)
{
    size_t len = path_parent_len(path);
    bool exists = false;
    char *parent;
    int rc;

    if (len == 0 || (known->len == len && memcmp(known->data, path, len) == 0))
        return 0;
    parent = path_parent(path);
    rc = is_folder(r, parent, &exists);
    free(parent);
    if (rc == 0)
        return note(r->db, path, 1, exists ? NO_DIR : NO_FOLDER);
    buf_clear(known);
    buf_append(known, path, len);
    return rc < 0 ? rc : 0;
}

/* Those whose folder has come, or that are gone themselves. */
static int strike_off(struct replica *r)
{
    struct strlist done = {0};
    sqlite3_stmt *st = db_query(r->db, "SELECT path FROM skipped WHERE staged=0 AND why IN (?,?)",
                                "ss", NO_FOLDER, NO_DIR);
    int rc;

    while ((rc = db_step(r->db, st)) == 1) {
        char *path = xstrdup(db_col_text(st, 0)), *parent = path_parent(path);
        struct row row;
        bool exists;

        rc = base_get(r->db, path, &row);
        if (rc == 0 && row.exists && row.type != ENTRY_GONE)
            rc = *parent ? is_folder(r, parent, &exists) : 1;
        else if (rc == 0)
            rc = 1;
        if (rc == 1)
            strlist_add(&done, path);
        row_release(&row);
        free(parent);
        free(path);
        if (rc < 0)
            break;
    }
    db_done(st);
    for (size_t i = 0; rc >= 0 && i < done.n; i++)
        rc = db_run(r->db, "DELETE FROM skipped WHERE staged=0 AND path=?", "p", done.v[i]);
    strlist_release(&done);
    return rc < 0 ? rc : 0;
}

int skipped_commit(struct replica *r, bool full)
{
    int rc = full ? db_run(r->db, "DELETE FROM skipped WHERE staged=0", "")
                  : db_run(r->db,
                           "DELETE FROM skipped WHERE staged=0 AND path IN"
                           " (SELECT path FROM incoming)",
                           "");

    if (rc >= 0)
        rc = db_run(r->db,
                    "INSERT OR REPLACE INTO skipped(path,staged,why)"
                    " SELECT path,0,why FROM skipped WHERE staged=1",
                    "");
    if (rc >= 0)
        rc = skipped_drop(r->db);
    return rc < 0 ? rc : strike_off(r);
}

int64_t replica_skipped(struct replica *r, json_t **list)
{
    sqlite3_stmt *st;
    struct db *db;
    int64_t n = 0;

    *list = json_array();
    if (reader_get(r, &db) < 0)
        return 0;
    if (db_get_int(db, 0, &n, "SELECT count(*) FROM skipped WHERE staged=0", "") < 0)
        n = 0;
    st = db_query(db, "SELECT path,why FROM skipped WHERE staged=0 ORDER BY path LIMIT ?", "i",
                  (int64_t)SHOWN_MAX);
    while (n > 0 && db_step(db, st) == 1) {
        char *path = path_encoded(db_col_text(st, 0));

        json_array_append_new(*list,
                              json_pack("{s:s,s:s}", "path", path, "why", db_col_text(st, 1)));
        free(path);
    }
    db_done(st);
    reader_put(r, db);
    return n;
}
