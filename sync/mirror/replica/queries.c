/* SPDX-License-Identifier: MIT */
/* queries: read access to the replica for pull, push, eviction and the control socket. */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"
#include "sync/mirror/replica/send_queue.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

/* One integer by a reader; `none` on failure. */
#define ASK(r, none, ...)                                                                          \
    ({                                                                                             \
        struct db *db_;                                                                            \
        int64_t n_ = (none);                                                                       \
        if (reader_get((r), &db_) == 0) {                                                          \
            if (db_get_int(db_, (none), &n_, __VA_ARGS__) < 0)                                     \
                n_ = (none);                                                                       \
            reader_put((r), db_);                                                                  \
        }                                                                                          \
        n_;                                                                                        \
    })

static char *ask_meta(struct replica *r, const char *key)
{
    struct db *db;
    char *v;

    if (reader_get(r, &db) < 0)
        return xstrdup("");
    v = meta_get(db, key);
    reader_put(r, db);
    return v;
}

bool replica_is_complete(struct replica *r)
{
    char *v = ask_meta(r, "complete");
    bool yes = *v != '\0';

    free(v);
    return yes;
}

char *replica_master_id(struct replica *r)
{
    return ask_meta(r, "master_id");
}

char *replica_url(struct replica *r)
{
    return ask_meta(r, "url");
}

char *replica_outbox_id(struct replica *r)
{
    return ask_meta(r, "outbox_id");
}

char *replica_cursor(struct replica *r)
{
    return ask_meta(r, "cursor");
}

/* --- outbox --- */

#define PENDING "state IN ('q','s','d')"

static int count_under(struct db *db, const char *under, struct outbox_count *ret)
{
#define UNDER                                                                                      \
    " AND (path=?1 OR to_path=?1 OR (path>=?2 AND path<?3) OR (to_path>=?2 AND to_path<?3))"
    struct subtree s;
    int rc;

    subtree_init(&s, under);
    rc = db_get_int(db, 0, &ret->pending, "SELECT count(*) FROM outbox WHERE " PENDING UNDER, "ppp",
                    under, s.from, s.to);
    rc = rc < 0
             ? rc
             : db_get_int(db, 0, &ret->refused, "SELECT count(*) FROM outbox WHERE state='x'" UNDER,
                          "ppp", under, s.from, s.to);
    subtree_release(&s);
    return rc;
#undef UNDER
}

int replica_outbox_count(struct replica *r, const char *under, struct outbox_count *ret)
{
    struct db *db;
    int rc = reader_get(r, &db);

    memset(ret, 0, sizeof(*ret));
    if (rc < 0)
        return rc;
    rc = db_begin_read(db);
    rc = rc < 0
             ? rc
             : db_get_int(db, 0, &ret->pending, "SELECT count(*) FROM outbox WHERE " PENDING, "");
    rc = rc < 0 ? rc
                : db_get_int(db, 0, &ret->all_refused,
                             "SELECT count(*) FROM outbox WHERE state='x'", "");
    ret->refused = ret->all_refused;
    if (rc >= 0 && ret->pending > 0) {
        rc = send_queue_can_send(db);
        ret->held = rc == 0;
    }
    if (rc >= 0 && *under)
        rc = count_under(db, under, ret);
    db_rollback(db);
    reader_put(r, db);
    return rc < 0 ? rc : 0;
}

void replica_outbox_first(struct replica *r, size_t max, struct strlist *ret)
{
    sqlite3_stmt *st;
    struct db *db;

    if (reader_get(r, &db) < 0)
        return;
    st = db_query(db, "SELECT path FROM outbox WHERE " PENDING " ORDER BY opid LIMIT ?", "i",
                  (int64_t)max);
    while (db_step(db, st) == 1)
        strlist_add(ret, db_col_text(st, 0));
    reader_put(r, db);
}

static int refusal_errno(const char *code)
{
    static const struct {
        const char *code;
        int errnum;
    } known[] = {
        {WIRE_R_SCOPE, EROFS},       {WIRE_R_NOT_EMPTY, ENOTEMPTY}, {WIRE_R_NAME, EINVAL},
        {WIRE_E_NO_SPACE, ENOSPC},   {WIRE_E_TOO_LARGE, EFBIG},     {WIRE_R_TYPE, EEXIST},
        {WIRE_R_PERMISSION, EACCES}, {WIRE_R_CONFLICT, EEXIST},     {WIRE_R_VOLUME, EBUSY}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(code, known[i].code) == 0)
            return -known[i].errnum;
    }
    return -EIO;
}

bool replica_outbox_done(struct replica *r, int64_t opid, int *result)
{
    sqlite3_stmt *st;
    struct db *db;
    bool done = false;
    int rc;

    if (reader_get(r, &db) < 0)
        return false;
    st = db_query(db,
                  "SELECT state,code FROM outbox WHERE opid=coalesce((SELECT new FROM renumbered"
                  " WHERE old=?1),?1)",
                  "i", opid);
    rc = db_step(db, st);
    if (rc == 0) {
        *result = 0;
        done = true;
    } else if (rc == 1 && *db_col_text(st, 0) == STATE_QUARANTINED) {
        *result = refusal_errno(db_col_text(st, 1));
        done = true;
    }
    db_done(st);
    reader_put(r, db);
    return done;
}

int64_t replica_conflict_count(struct replica *r)
{
    return ASK(r, 0, "SELECT count(*) FROM conflict", "");
}

/* --- content --- */

/* When it cannot be known, the object must stay. */
bool replica_pins(struct replica *r, const struct hash *h)
{
    return ASK(r, 1,
               "SELECT EXISTS(SELECT 1 FROM outbox WHERE hash=?1) OR"
               " EXISTS(SELECT 1 FROM overlay WHERE hash=?1) OR"
               " EXISTS(SELECT 1 FROM lost WHERE hash=?1 AND type=1)",
               "h", h) != 0;
}

char *replica_path_of(struct replica *r, const struct hash *h)
{
    sqlite3_stmt *st;
    char *dir, *path = NULL;
    struct db *db;

    if (reader_get(r, &db) < 0)
        return xstrdup("");
    st = db_query(db, "SELECT dir,name FROM base WHERE type=1 AND hash=? LIMIT 1", "h", h);
    if (db_step(db, st) == 1) {
        dir = xstrdup(db_col_text(st, 0));
        path = path_join(dir, db_col_text(st, 1));
        free(dir);
    }
    db_done(st);
    reader_put(r, db);
    return path ? path : xstrdup("");
}

int replica_each_content(struct replica *r, replica_content_fn *fn, void *arg)
{
    sqlite3_stmt *st;
    struct db *db;
    int rc = reader_get(r, &db);

    if (rc < 0)
        return rc;
    st = db_query(db, "SELECT dir,name,hash,size FROM base WHERE type=1", "");
    while ((rc = db_step(db, st)) == 1) {
        char *dir = xstrdup(db_col_text(st, 0));
        char *path = path_join(dir, db_col_text(st, 1));
        struct hash h;
        db_col_hash(st, 2, &h);
        rc = fn(arg, path, &h, sqlite3_column_int64(st, 3));
        free(path);
        free(dir);
        if (rc != 0)
            break;
    }
    db_done(st);
    reader_put(r, db);
    return rc;
}
