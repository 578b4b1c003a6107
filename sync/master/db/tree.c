/* SPDX-License-Identifier: MIT */
#include "sync/master/db/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/history.h"
#include "sync/master/db/meta.h"

#define TIMELINES_SHOWN 500

#define HOPS_MAX 16 /* names that a file may have had between two sights of it */

void row_release(struct row *r)
{
    entry_release(&r->e);
    memset(r, 0, sizeof(*r));
}

void tree_row(sqlite3_stmt *st, struct row *ret)
{
    char *dir = xstrdup(db_col_text(st, 0));

    memset(ret, 0, sizeof(*ret));
    ret->e.path = path_join(dir, db_col_text(st, 1));
    free(dir);
    ret->e.type = (enum entry_type)sqlite3_column_int(st, 2);
    ret->e.size = sqlite3_column_int64(st, 3);
    ret->e.mtime = sqlite3_column_int64(st, 4);
    ret->e.mode = (uint32_t)sqlite3_column_int(st, 5);
    db_col_hash(st, 6, &ret->e.hash);
    if (sqlite3_column_type(st, 7) != SQLITE_NULL)
        ret->e.target = xstrdup(db_col_text(st, 7));
    ret->e.seq = sqlite3_column_int64(st, 8);
    if (ret->e.type != ENTRY_GONE && sqlite3_column_type(st, 9) != SQLITE_NULL)
        ret->e.moved_from = xstrdup(db_col_text(st, 9));
    ret->ino = sqlite3_column_int64(st, 10);
    ret->dev = sqlite3_column_int64(st, 11);
    ret->ctime = sqlite3_column_int64(st, 12);
    ret->seen = sqlite3_column_int64(st, 13);
    ret->e.hides = ret->e.type == ENTRY_DIR && sqlite3_column_int(st, 14);
}

int tree_get(struct db *db, const char *path, struct row *ret)
{
    char *dir = path_parent(path);
    sqlite3_stmt *st = db_query(db, "SELECT " TREE_COLUMNS " FROM entry WHERE dir=? AND name=?",
                                "pp", dir, path_base(path));
    int r = db_step(db, st);

    free(dir);
    if (r == 1) {
        tree_row(st, ret);
        db_done(st);
    }
    return r;
}

sqlite3_stmt *tree_children(struct db *db, const char *dir)
{
    return db_query(db,
                    "SELECT name,type,size,mtime,mode,ino,ctime,seen FROM entry "
                    "WHERE dir=? AND type!=0 ORDER BY name",
                    "p", dir);
}

void tree_child(sqlite3_stmt *st, struct row *ret, const char **name)
{
    memset(ret, 0, sizeof(*ret));
    *name = db_col_text(st, 0);
    ret->e.type = (enum entry_type)sqlite3_column_int(st, 1);
    ret->e.size = sqlite3_column_int64(st, 2);
    ret->e.mtime = sqlite3_column_int64(st, 3);
    ret->e.mode = (uint32_t)sqlite3_column_int(st, 4);
    ret->ino = sqlite3_column_int64(st, 5);
    ret->ctime = sqlite3_column_int64(st, 6);
    ret->seen = sqlite3_column_int64(st, 7);
}

int tree_count_lost(struct db *db, const char *path, int64_t *ret)
{
#define LOST                                                                                       \
    "type=1 AND NOT EXISTS (SELECT 1 FROM entry o WHERE o.ino=e.ino AND o.ino>0 AND o.type=1 "     \
    "AND o.hash=e.hash AND (o.dir!=e.dir OR o.name!=e.name))"
    char *parent = path_parent(path), *from = xasprintf("%s/", path), *to = xasprintf("%s0", path);
    int r = db_get_int(db, 0, ret,
                       "SELECT (SELECT count(*) FROM entry e WHERE dir=? AND name=? AND " LOST
                       ") + (SELECT count(*) FROM entry e WHERE dir=? AND " LOST
                       ") + (SELECT count(*) FROM entry e WHERE dir>? AND dir<? AND " LOST ")",
                       "ppppp", parent, path_base(path), path, from, to);

#undef LOST
    free(parent);
    free(from);
    free(to);
    return r;
}

int tree_has_children(struct db *db, const char *dir)
{
    int64_t n = 0;
    int r = db_get_int(db, 0, &n, "SELECT 1 FROM entry WHERE dir=? AND type!=0 LIMIT 1", "p", dir);

    return r < 0 ? r : (int)n;
}

int tree_each_row(struct db *db, sqlite3_stmt *st, bool (*fn)(void *arg, struct row *row),
                  void *arg)
{
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct row row;
        bool more;

        tree_row(st, &row);
        more = fn(arg, &row);
        row_release(&row);
        if (!more) {
            db_done(st);
            break;
        }
    }
    return r;
}

int tree_each_since(struct db *db, int64_t seq, bool (*fn)(void *arg, struct row *row), void *arg)
{
    return tree_each_row(
        db, db_query(db, "SELECT " TREE_COLUMNS " FROM entry WHERE seq>? ORDER BY seq", "i", seq),
        fn, arg);
}

int tree_below(struct db *db, const char *dir, struct row **ret, size_t *n)
{
    char *low = xasprintf("%s/", dir), *high = xasprintf("%s0", dir); /* '/' + 1 */
    size_t cap = 0;
    sqlite3_stmt *st =
        db_query(db,
                 "SELECT " TREE_COLUMNS " FROM entry WHERE dir=? AND type!=0 UNION ALL "
                 "SELECT " TREE_COLUMNS " FROM entry WHERE dir>? AND dir<? AND type!=0",
                 "ppp", dir, low, high);
    int r;

    *ret = NULL;
    *n = 0;
    while ((r = db_step(db, st)) == 1) {
        if (*n == cap) {
            cap = cap * 2 + 64;
            *ret = xrealloc(*ret, cap * sizeof(**ret));
        }
        tree_row(st, &(*ret)[(*n)++]);
    }
    free(low);
    free(high);
    return r;
}

int tree_last_seq(struct db *db, int64_t *ret)
{
    return db_get_int(db, 0, ret, "SELECT max(seq) FROM entry", "");
}

int tree_has_hash(struct db *db, const struct hash *h)
{
    int64_t n = 0;
    int r = db_get_int(db, 0, &n, "SELECT 1 FROM entry WHERE hash=? AND type=1 LIMIT 1", "h", h);

    return r < 0 ? r : (int)n;
}

int tree_find_path(struct db *db, bool (*fits)(void *arg, const char *path), void *arg, char **ret)
{
    sqlite3_stmt *st =
        db_query(db, "SELECT dir,name FROM entry WHERE type<2 ORDER BY seq DESC", "");
    int r;

    while ((r = db_step(db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0)), *path = path_join(dir, db_col_text(st, 1));

        free(dir);
        if (fits(arg, path)) {
            *ret = path;
            db_done(st);
            return 1;
        }
        free(path);
    }
    return r;
}

int tree_find_hash(struct db *db, const struct hash *h, bool (*fits)(void *arg, const char *path),
                   void *arg, struct row *ret)
{
    sqlite3_stmt *st = db_query(
        db, "SELECT " TREE_COLUMNS " FROM entry WHERE hash=? AND type=1 ORDER BY seq DESC", "h", h);
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct row row;

        tree_row(st, &row);
        if (fits(arg, row.e.path)) {
            *ret = row;
            db_done(st);
            return 1;
        }
        row_release(&row);
    }
    return r;
}

int tree_find_moved(struct db *db, const char *from, const struct hash *h, struct row *ret)
{
    sqlite3_stmt *st =
        db_query(db,
                 "WITH RECURSIVE hop(path,n) AS (SELECT ?2,0 UNION"
                 " SELECT CAST(CASE dir WHEN x'' THEN name ELSE dir||'/'||name END AS BLOB),n+1"
                 " FROM hop JOIN entry ON hash=?1 AND type=0 AND moved_from=hop.path WHERE n<?3)"
                 " SELECT " TREE_COLUMNS " FROM hop JOIN entry ON hash=?1 AND type=1"
                 " AND moved_from=hop.path ORDER BY n, seq DESC",
                 "hpi", h, from, (int64_t)HOPS_MAX);
    int r = db_step(db, st);

    if (r == 1) {
        tree_row(st, ret);
        db_done(st);
    }
    return r;
}

int tree_find_inode(struct db *db, int64_t ino, bool (*fits)(void *arg, const struct row *row),
                    void *arg, struct row *ret)
{
    sqlite3_stmt *st = db_query(
        db, "SELECT " TREE_COLUMNS " FROM entry WHERE ino=? AND ino>0 AND type IN (1,2)", "i", ino);
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct row row;

        tree_row(st, &row);
        if (fits(arg, &row)) {
            *ret = row;
            db_done(st);
            return 1;
        }
        row_release(&row);
    }
    return r;
}

bool tree_knows(struct db *db, const char *timeline, int64_t seq, const char *current, int64_t head)
{
    int64_t last = -1;

    if (strcmp(timeline, current) == 0)
        return seq <= head;
    if (db_get_int(db, -1, &last, "SELECT last FROM timeline WHERE id=? AND void=0", "s",
                   timeline) < 0)
        return false;
    return seq <= last;
}

int tree_void_timelines(struct db *db, const char *but)
{
    int r = db_run(db, "UPDATE timeline SET void=1 WHERE id!=?", "s", but);

    return r < 0 ? r : 0;
}

void tree_explain_reset(struct db *db, const struct cursor *c, const char *current, int64_t head,
                        json_t *o)
{
    json_t *list = json_array();
    int64_t put_back = 0, is_void = 0;
    sqlite3_stmt *st;

    if (tree_knows(db, c->timeline, c->seq, current, head)) {
        json_decref(list);
        return;
    }
    st = db_query(
        db, "SELECT id,coalesce(last,0) FROM timeline WHERE id!=? ORDER BY rowid DESC LIMIT ?",
        "si", current, (int64_t)TIMELINES_SHOWN);
    while (db_step(db, st) == 1)
        json_array_append_new(
            list, json_pack("[s,I]", db_col_text(st, 0), (json_int_t)sqlite3_column_int64(st, 1)));
    json_object_set_new(o, "timelines", list);
    if (db_get_int(db, 0, &is_void, "SELECT void FROM timeline WHERE id=?", "s", c->timeline) ==
            0 &&
        is_void && meta_get_int(db, META_PUT_BACK, -1, &put_back) == 0 && put_back >= 0)
        json_object_set_new(o, "put_back", json_integer(put_back));
}

int tree_total(struct db *db, struct tree_total *ret)
{
    sqlite3_stmt *st = db_query(db, "SELECT entries,files,bytes FROM total", "");
    int r = db_step(db, st);

    if (r == 1) {
        ret->entries = sqlite3_column_int64(st, 0);
        ret->files = sqlite3_column_int64(st, 1);
        ret->bytes = sqlite3_column_int64(st, 2);
        db_done(st);
    }
    return r < 0 ? r : 0;
}

/* A row more (sign 1) or less (-1). */
static void count(struct tree *t, int sign, enum entry_type type, int64_t size)
{
    if (type == ENTRY_GONE)
        return;
    t->more.entries += sign;
    t->more.files += type == ENTRY_FILE ? sign : 0;
    t->more.bytes += sign * size;
}

/* The row that will be replaced. */
static int uncount(struct tree *t, const char *dir, const char *name)
{
    sqlite3_stmt *st =
        db_query(t->db, "SELECT type,size FROM entry WHERE dir=? AND name=?", "pp", dir, name);
    int r = db_step(t->db, st);

    if (r == 1) {
        count(t, -1, (enum entry_type)sqlite3_column_int(st, 0), sqlite3_column_int64(st, 1));
        db_done(st);
    }
    return r < 0 ? r : 0;
}

int tree_begin(struct tree *t)
{
    t->committed = t->seq;
    memset(&t->more, 0, sizeof(t->more));
    return db_begin(t->db);
}

int tree_commit(struct tree *t)
{
    const struct tree_total *x = &t->more;
    int r = 0;

    if (x->entries || x->files || x->bytes)
        r = db_run(t->db, "UPDATE total SET entries=entries+?, files=files+?, bytes=bytes+?", "iii",
                   x->entries, x->files, x->bytes);
    if (r < 0)
        db_rollback(t->db);
    else
        r = db_commit(t->db);
    if (r < 0)
        t->seq = t->committed;
    else
        t->committed = t->seq;
    return r;
}

void tree_rollback(struct tree *t)
{
    db_rollback(t->db);
    strlist_release(&t->touched);
    t->seq = t->committed;
}

int tree_step(struct tree *t)
{
    int r = tree_commit(t);

    return r < 0 ? r : tree_begin(t);
}

static int load_id(struct db *db, char *id, bool *known)
{
    struct buf hex = BUF_INIT;
    uint8_t raw[16];
    int64_t any = 0;
    char *there = NULL;
    int r = meta_get_text(db, "id", &there);

    if (r == 1)
        snprintf(id, 33, "%s", there);
    free(there);
    if (r == 0) {
        file_random(raw, sizeof(raw));
        hex_encode(&hex, raw, sizeof(raw));
        if (!*id)
            snprintf(id, 33, "%s", hex.data);
        r = meta_set_text(db, "id", id);
    }
    if (r >= 0)
        r = db_get_int(db, 0, &any, "SELECT 1 FROM entry LIMIT 1", "");
    buf_release(&hex);
    *known = any != 0;
    return r < 0 ? r : 0;
}

int tree_start(struct tree *t, char *timeline, char *id, bool *known, struct err *e)
{
    struct buf hex = BUF_INIT;
    uint8_t raw[8];
    int64_t last = 0;
    int r = db_begin(t->db);

    if (r == 0)
        r = load_id(t->db, id, known);
    if (r == 0)
        r = tree_last_seq(t->db, &t->seq);
    if (r == 0)
        r = db_get_int(t->db, 0, &last, "SELECT max(last) FROM timeline", "");
    if (r == 0) {
        if (last > t->seq)
            t->seq = last;
        r = db_run(t->db, "UPDATE timeline SET last=? WHERE last IS NULL", "i", t->seq);
    }
    if (r >= 0) {
        file_random(raw, sizeof(raw));
        hex_encode(&hex, raw, sizeof(raw));
        snprintf(timeline, 17, "%s", hex.data);
        r = db_run(t->db, "INSERT INTO timeline(id,first,last,started) VALUES(?,?,NULL,?)", "sii",
                   timeline, t->seq, clock_wall_ns());
    }
    buf_release(&hex);
    if (r >= 0)
        r = db_commit(t->db);
    if (r >= 0)
        r = db_sync(t->db);
    if (r < 0) {
        db_error(t->db, e, "cannot open a timeline");
        db_rollback(t->db);
    }
    return r;
}

static int write_row(struct tree *t, const struct row *r)
{
    char *dir = path_parent(r->e.path);
    int res = uncount(t, dir, path_base(r->e.path));

    if (res < 0) {
        free(dir);
        return res;
    }
    count(t, 1, r->e.type, r->e.size);
    res = db_run(t->db,
                 "INSERT OR REPLACE INTO entry(" TREE_COLUMNS
                 ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                 "ppiiiihpipiiiii", dir, path_base(r->e.path), (int64_t)r->e.type, r->e.size,
                 r->e.mtime, (int64_t)r->e.mode, &r->e.hash, r->e.target, r->e.seq, r->e.moved_from,
                 r->ino, r->dev, r->ctime, r->seen, (int64_t)r->e.hides);

    free(dir);
    return res < 0 ? res : 0;
}

/* A run of changes in one folder notes it once. */
static void touch_parent(struct tree *t, const char *path)
{
    size_t len = path_parent_len(path);
    const char *last = t->touched.n > 0 ? t->touched.v[t->touched.n - 1] : NULL;
    char *dir;

    if (last && strlen(last) == len && memcmp(last, path, len) == 0)
        return;
    dir = path_parent(path);
    strlist_add(&t->touched, dir);
    free(dir);
}

int tree_put(struct tree *t, struct row *r)
{
    int res = history_end(t->db, r->e.path, &r->e.hash, t->seq + 1);

    if (res < 0)
        return res;
    touch_parent(t, r->e.path);
    r->e.seq = ++t->seq;
    return write_row(t, r);
}

int tree_touch(struct tree *t, const struct row *r)
{
    return write_row(t, r);
}

int tree_remove(struct tree *t, const char *path)
{
    char *from = xasprintf("%s/", path), *to = xasprintf("%s0", path); /* '/' + 1 */
    char *parent = path_parent(path);
    struct strlist gone = {0};
    sqlite3_stmt *st =
        db_query(t->db,
                 "SELECT dir,name FROM entry WHERE dir=? AND type!=0 UNION ALL "
                 "SELECT dir,name FROM entry WHERE dir>? AND dir<? AND type!=0 UNION ALL "
                 "SELECT dir,name FROM entry WHERE dir=? AND name=? AND type!=0",
                 "ppppp", path, from, to, parent, path_base(path));
    int r, n = 0;

    while ((r = db_step(t->db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0));
        char *p = path_join(dir, db_col_text(st, 1));
        strlist_add(&gone, p);
        free(p);
        free(dir);
    }
    for (size_t i = 0; r == 0 && i < gone.n; i++, n++) {
        char *dir;

        r = history_end(t->db, gone.v[i], NULL, t->seq + 1);
        if (r < 0)
            break;
        dir = path_parent(gone.v[i]);
        r = uncount(t, dir, path_base(gone.v[i]));
        if (r == 0)
            r = db_run(t->db,
                       "UPDATE entry SET type=0, seq=?, target=NULL, ino=0, ctime=0 "
                       "WHERE dir=? AND name=?",
                       "ipp", ++t->seq, dir, path_base(gone.v[i]));
        r = r < 0 ? r : 0;
        free(dir);
    }
    if (n > 0)
        touch_parent(t, path);
    strlist_release(&gone);
    free(parent);
    free(from);
    free(to);
    return r < 0 ? r : n;
}

void row_from_stat(struct row *r, const struct stat *st)
{
    r->e.type = S_ISREG(st->st_mode) ? ENTRY_FILE : S_ISDIR(st->st_mode) ? ENTRY_DIR : ENTRY_LINK;
    r->e.size = S_ISREG(st->st_mode) ? st->st_size : 0;
    r->e.mtime = file_mtime_ns(st);
    r->e.mode = st->st_mode & 07777;
    r->ino = (int64_t)st->st_ino;
    r->dev = (int64_t)st->st_dev;
    r->ctime = file_ctime_ns(st);
}

bool row_matches(const struct row *r, const struct stat *st)
{
    struct row now = {0};

    row_from_stat(&now, st);
    return r->e.type == now.e.type && r->e.size == now.e.size && r->e.mtime == now.e.mtime &&
           r->e.mode == now.e.mode && r->ino == now.ino && r->ctime == now.ctime;
}
