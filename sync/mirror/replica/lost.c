/* SPDX-License-Identifier: MIT */
/*
 *   seq of the base  ────────────┬──────────── cursor      common: as far as both know the same
 *                             common
 *   master's listing ────────────┴─┬────── head            put_back: where its folder was put back
 *                               put_back
 *
 * An entry of the base is lost when the listing has another content there, or none, and either the
 * base's is from after `common` (the database went back) or the listing's from after `put_back` (the
 * folder went back, and the scan published what it found). An entry of the listing from before
 * `common` that the base does not have was deleted, or renamed, in the lost time.
 *
 * When no timeline is in common, the master's database is a new one. It was made from the folder, so
 * nothing is lost, unless the folder's epoch (wire.h: hello) says that it went back as well.
 */
#include "sync/mirror/replica/lost.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/mirror/replica/feed.h"
#include "sync/proto/json.h"

#define PATH_OF "CASE WHEN length(b.dir)=0 THEN b.name ELSE CAST(b.dir||X'2F'||b.name AS BLOB) END"
#define EPOCH   "epoch"     /* the highest one of the master's folder */
#define POLL    "lost_poll" /* the master has asked for contents, or may */
#define SET     "lost_set"  /* numbers of this database; another one has another */

int lost_note_timeline(struct db *db, const struct cursor *next)
{
    char *text = meta_get(db, "cursor");
    struct cursor was;
    int rc = 0;

    if (cursor_parse(text, &was) == 0 && strcmp(was.timeline, next->timeline) != 0)
        rc = db_run(db,
                    "INSERT INTO timelines(id,seq) VALUES(?1,?2) ON CONFLICT(id) DO UPDATE SET"
                    " seq=max(seq,?2)",
                    "si", was.timeline, was.seq);
    free(text);
    return rc < 0 ? rc : 0;
}

/* How far this mirror has followed a timeline, -1: not at all. */
static int64_t followed(struct db *db, const struct cursor *at, const char *id)
{
    int64_t seq = -1;

    if (db_get_int(db, -1, &seq, "SELECT seq FROM timelines WHERE id=?", "s", id) < 0)
        seq = -1;
    return strcmp(at->timeline, id) == 0 && at->seq > seq ? at->seq : seq;
}

/* As far as both know the same; -1: no timeline is in common. */
static int64_t find_common(struct db *db, const struct cursor *at, json_t *timelines)
{
    int64_t common = -1;
    json_t *x;
    size_t i;

    json_array_foreach(timelines, i, x)
    {
        const char *id = json_string_value(json_array_get(x, 0));
        int64_t last = json_integer_value(json_array_get(x, 1));
        int64_t seq = id ? followed(db, at, id) : -1;

        seq = seq < last ? seq : last;
        common = seq > common ? seq : common;
    }
    return common;
}

void replica_lost_expect(struct replica *r, json_t *reset)
{
    json_t *list = json_object_get(reset, "timelines"), *back = json_object_get(reset, "put_back");
    struct lost_time t = {.put_back = INT64_MAX,
                          .epoch = json_integer_value(json_object_get(reset, "epoch"))};
    char *text = replica_cursor(r);
    struct cursor at;
    struct db *db;

    if (json_is_array(list) && cursor_parse(text, &at) == 0 && reader_get(r, &db) == 0) {
        t.common = find_common(db, &at, list);
        if (t.common < 0)
            t.known = t.epoch < meta_get_int(db, EPOCH, 0);
        else
            t.known = at.seq > t.common || json_is_integer(back);
        if (json_is_integer(back))
            t.put_back = json_integer_value(back);
        reader_put(r, db);
        mutex_lock(&r->lock);
        r->lost_time = t;
        mutex_unlock(&r->lock);
    }
    free(text);
}

int replica_note_epoch(struct replica *r, int64_t epoch)
{
    struct db *db;
    int64_t known;
    int rc = reader_get(r, &db);

    if (rc < 0)
        return rc;
    known = meta_get_int(db, EPOCH, 0);
    reader_put(r, db);
    if (epoch <= known)
        return 0;
    rc = tx_begin(r);
    return rc < 0 ? rc : tx_end(r, meta_set_int(r->db, EPOCH, epoch), "replica.epoch");
}

static int64_t count(struct db *db)
{
    int64_t n = 0;

    (void)db_get_int(db, 0, &n, "SELECT count(*) FROM lost", "");
    return n;
}

static int keep_replaced(struct db *db, const struct lost_time *t)
{
    int rc =
        db_run(db,
               "INSERT INTO lost(path,type,size,mtime,mode,hash,target,seq,own)"
               " SELECT x.p,x.type,x.size,x.mtime,x.mode,x.hash,x.target,x.seq,x.own"
               " FROM (SELECT " PATH_OF " AS p,b.* FROM base b WHERE b.type<>0) x"
               " LEFT JOIN incoming i ON i.path=x.p AND i.type<>0"
               " WHERE (i.path IS NULL OR i.type<>x.type OR (x.type=1 AND i.hash IS NOT x.hash)"
               " OR i.target IS NOT x.target)"
               " AND (x.seq>?1 OR coalesce(i.seq,0)>?2)"
               " AND x.p NOT IN (SELECT path FROM skipped WHERE staged=1)"
               " AND x.p NOT IN (SELECT path FROM temp.answered)" /* made since */
               " AND NOT EXISTS(SELECT 1 FROM lost l WHERE l.path=x.p AND l.type=x.type"
               " AND l.hash IS x.hash AND l.target IS x.target) ORDER BY x.p",
               "ii", t->common, t->put_back);

    return rc < 0 ? rc : 0;
}

/* The content that was deleted is the listing's. */
static int keep_deleted(struct db *db, const struct lost_time *t)
{
    int rc = db_run(db,
                    "INSERT INTO lost(path,type,size,mtime,mode,hash,target,seq,own)"
                    " SELECT i.path,0,i.size,i.mtime,i.type,i.hash,i.target,i.seq,0 FROM incoming i"
                    " WHERE i.type<>0 AND i.seq<=?1"
                    " AND i.path NOT IN (SELECT " PATH_OF " FROM base b WHERE b.type<>0)"
                    " AND i.path NOT IN (SELECT path FROM skipped)"
                    " AND NOT EXISTS(SELECT 1 FROM lost l WHERE l.path=i.path AND l.type=0)"
                    " ORDER BY i.path DESC",
                    "i", t->common);

    return rc < 0 ? rc : 0;
}

int lost_keep(struct replica *r)
{
    struct lost_time t = r->lost_time;
    int64_t before = count(r->db), more;
    int rc;

    r->lost_time = (struct lost_time){0};
    if (!t.known)
        return 0;
    rc = keep_replaced(r->db, &t);
    if (rc == 0 && t.put_back == INT64_MAX)
        rc = keep_deleted(r->db, &t);
    if (rc == 0)
        rc = meta_set_int(r->db, EPOCH, t.epoch);
    if (rc == 0)
        rc = meta_set(r->db, POLL, "1");
    more = count(r->db) - before;
    if (rc == 0 && more > 0)
        log_error("the master has gone back in time: this mirror knows of %lld changes that it has "
                  "lost, and keeps them; on the master: eefs-master recover",
                  (long long)more);
    return rc;
}

/* --- for transfer/giveback.c --- */

bool replica_lost_any(struct replica *r)
{
    struct db *db;
    int64_t n = 0;
    char *poll;
    bool any;

    if (reader_get(r, &db) < 0)
        return false;
    poll = meta_get(db, POLL);
    any = *poll != '\0';
    free(poll);
    (void)db_get_int(db, 0, &n, "SELECT EXISTS(SELECT 1 FROM lost)", "");
    reader_put(r, db);
    return any || n > 0;
}

int64_t replica_lost_count(struct replica *r)
{
    struct db *db;
    int64_t n;

    if (reader_get(r, &db) < 0)
        return 0;
    n = count(db);
    reader_put(r, db);
    return n;
}

static json_t *row_json(struct replica *r, sqlite3_stmt *st)
{
    int type = sqlite3_column_int(st, 2);
    int64_t size = sqlite3_column_int64(st, 3);
    json_t *o = json_object();
    struct hash h;

    db_col_hash(st, 6, &h);
    json_object_set_new(o, "n", json_integer(sqlite3_column_int64(st, 0)));
    json_set_path(o, "path", db_col_text(st, 1));
    json_object_set_new(o, "type", json_integer(type));
    json_object_set_new(o, "size", json_integer(size));
    json_object_set_new(o, "mtime", json_integer(sqlite3_column_int64(st, 4)));
    json_object_set_new(o, "mode", json_integer(sqlite3_column_int64(st, 5)));
    if (!hash_is_none(&h))
        json_set_hash(o, "hash", &h);
    if (sqlite3_column_type(st, 7) != SQLITE_NULL)
        json_set_path(o, "target", db_col_text(st, 7));
    json_object_set_new(o, "seq", json_integer(sqlite3_column_int64(st, 8)));
    json_object_set_new(o, "own", json_boolean(sqlite3_column_int(st, 9)));
    json_object_set_new(o, "here",
                        json_boolean(type == ENTRY_FILE && r->has && r->has(r->has_arg, &h, size)));
    return o;
}

json_t *replica_lost_rows(struct replica *r, int64_t after, size_t max)
{
    json_t *list = json_array();
    sqlite3_stmt *st;
    struct db *db;
    int rc;

    if (reader_get(r, &db) < 0) {
        json_decref(list);
        return NULL;
    }
    st = db_query(db,
                  "SELECT n,path,type,size,mtime,mode,hash,target,seq,own FROM lost WHERE n>?"
                  " ORDER BY n LIMIT ?",
                  "ii", after, (int64_t)max);
    while ((rc = db_step(db, st)) == 1)
        json_array_append_new(list, row_json(r, st));
    db_done(st);
    reader_put(r, db);
    if (rc < 0) {
        json_decref(list);
        list = NULL;
    }
    return list;
}

int64_t replica_lost_size(struct replica *r, const struct hash *h)
{
    struct db *db;
    int64_t size = -1;

    if (reader_get(r, &db) < 0)
        return -1;
    if (db_get_int(db, -1, &size,
                   "SELECT size FROM lost WHERE hash=?1 AND type=1 UNION ALL"
                   " SELECT size FROM base WHERE hash=?1 AND type=1 LIMIT 1",
                   "h", h) < 0)
        size = -1;
    reader_put(r, db);
    return size;
}

int replica_lost_forget(struct replica *r, json_t *numbers)
{
    int rc = tx_begin(r);
    json_t *x;
    size_t i;

    if (rc < 0)
        return rc;
    json_array_foreach(numbers, i, x)
    {
        if (rc >= 0)
            rc = db_run(r->db, "DELETE FROM lost WHERE n=?", "i", json_integer_value(x));
    }
    return tx_end(r, rc < 0 ? rc : 0, "replica.lost.forgotten");
}

int replica_lost_rest(struct replica *r)
{
    int rc = tx_begin(r);

    return rc < 0 ? rc : tx_end(r, meta_set(r->db, POLL, ""), "replica.lost.rest");
}

char *replica_lost_set(struct replica *r)
{
    struct buf hex = BUF_INIT;
    uint8_t raw[8];
    char *set = NULL;
    int rc = tx_begin(r);

    if (rc < 0)
        return xstrdup("");
    set = meta_get(r->db, SET);
    if (!*set) {
        free(set);
        file_random(raw, sizeof(raw));
        hex_encode(&hex, raw, sizeof(raw));
        set = xstrdup(hex.data);
        rc = meta_set(r->db, SET, set);
    }
    buf_release(&hex);
    (void)tx_end(r, rc, "replica.lost.set");
    return set;
}
