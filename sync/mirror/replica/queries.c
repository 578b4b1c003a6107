/* SPDX-License-Identifier: MIT */
/* queries: what pull, push, evict and the control socket ask the replica, and the remote's
 * scope. */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"
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

/* --- remote --- */

static bool list_same(const struct strlist *a, const struct strlist *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return a->n == b->n;
}

static int save_json(struct replica *r, const char *key, json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT);
    int rc = text ? meta_keep(r->db, key, text) : -ENOMEM;

    free(text);
    return rc;
}

/* Writes only what is new: hello comes with each contact, and also on a full disk. */
static int save_remote(struct replica *r, const struct remote *remote)
{
    json_t *scope = json_object(), *volumes = json_object();
    char gen[24];
    int rc;

    scope_to_json(&remote->scope, scope);
    json_set_paths(volumes, "volumes", &remote->volumes);
    rc = save_json(r, "scope", scope);
    if (rc == 0)
        rc = save_json(r, "volumes", volumes);
    json_decref(scope);
    json_decref(volumes);
    snprintf(gen, sizeof(gen), "%lld", (long long)remote->scopegen);
    if (rc == 0)
        rc = meta_keep(r->db, "master_id", remote->master_id);
    if (rc == 0)
        rc = meta_keep(r->db, "url", remote->url);
    if (rc == 0)
        rc = meta_keep(r->db, "name", remote->name);
    if (rc == 0)
        rc = meta_keep(r->db, "scopegen", gen);
    /* changed under `lock` only, as master_id */
    if (rc < 0 || list_same(&r->exclude, &remote->exclude))
        return rc;
    rc = db_run(r->db, "DELETE FROM exclude", "");
    for (size_t i = 0; rc >= 0 && i < remote->exclude.n; i++)
        rc = db_run(r->db, "INSERT INTO exclude(pattern) VALUES(?)", "p", remote->exclude.v[i]);
    return rc < 0 ? rc : 0;
}

static void copy_list(struct strlist *to, const struct strlist *from)
{
    strlist_release(to);
    for (size_t i = 0; i < from->n; i++)
        strlist_add(to, from->v[i]);
}

int replica_set_remote(struct replica *r, const struct remote *remote)
{
    bool other;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    /* master_id changes under `lock` only, so it may be read here */
    if (*r->master_id && strcmp(r->master_id, remote->master_id) != 0)
        rc = -EXDEV;
    else
        rc = save_remote(r, remote);
    rc = tx_end(r, rc, "replica.remote.committed");
    if (rc < 0)
        return rc;
    atomic_store(&r->folder_times, remote->folder_times);
    mutex_lock(&r->scope_lock);
    free(r->master_id);
    r->master_id = xstrdup(remote->master_id);
    other = r->remote_known && (!list_same(&r->scope.write, &remote->scope.write) ||
                                !list_same(&r->exclude, &remote->exclude));
    copy_list(&r->scope.read, &remote->scope.read);
    copy_list(&r->scope.write, &remote->scope.write);
    copy_list(&r->scope.deny, &remote->scope.deny);
    copy_list(&r->exclude, &remote->exclude);
    copy_list(&r->volumes, &remote->volumes);
    r->remote_known = true;
    mutex_unlock(&r->scope_lock);
    return other;
}

/* --- outbox --- */

void replica_outbox_count(struct replica *r, int64_t *pending, int64_t *quarantined)
{
    *pending = ASK(r, 0, "SELECT count(*) FROM outbox WHERE state IN ('q','s','d')", "");
    *quarantined = ASK(r, 0, "SELECT count(*) FROM outbox WHERE state='x'", "");
}

void replica_outbox_count_under(struct replica *r, const char *under, int64_t *pending,
                                int64_t *quarantined)
{
    struct subtree s;

    if (!*under) {
        replica_outbox_count(r, pending, quarantined);
        return;
    }
    subtree_init(&s, under);
    *pending = ASK(r, 0,
                   "SELECT count(*) FROM outbox WHERE state IN ('q','s','d')"
                   " AND (path=?1 OR to_path=?1"
                   " OR (path>=?2 AND path<?3) OR (to_path>=?2 AND to_path<?3))",
                   "ppp", under, s.from, s.to);
    *quarantined = ASK(r, 0,
                       "SELECT count(*) FROM outbox WHERE state='x' AND (path=?1 OR to_path=?1"
                       " OR (path>=?2 AND path<?3) OR (to_path>=?2 AND to_path<?3))",
                       "ppp", under, s.from, s.to);
    subtree_release(&s);
}

void replica_outbox_first(struct replica *r, size_t max, struct strlist *ret)
{
    sqlite3_stmt *st;
    struct db *db;

    if (reader_get(r, &db) < 0)
        return;
    st = db_query(db, "SELECT path FROM outbox WHERE state IN ('q','s','d') ORDER BY opid LIMIT ?",
                  "i", (int64_t)max);
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

static json_t *path_json(sqlite3_stmt *st, int c)
{
    char *text = path_encoded(db_col_text(st, c));
    json_t *v = json_string(text);

    free(text);
    return v;
}

static json_t *hash_json(sqlite3_stmt *st, int c)
{
    char text[HASH_TEXT_CAP];
    struct hash h;

    db_col_hash(st, c, &h);
    return json_string(hash_is_none(&h) ? "" : hash_text(&h, text));
}

json_t *replica_conflicts(struct replica *r)
{
    json_t *list = json_array();
    sqlite3_stmt *st;
    struct db *db;

    if (reader_get(r, &db) < 0)
        return list;
    st = db_query(db,
                  "SELECT path,copy,coalesce(place,''),ours,ours_mtime,theirs,theirs_mtime,time"
                  " FROM conflict ORDER BY id",
                  "");
    while (db_step(db, st) == 1) {
        json_t *v = json_object();
        json_object_set_new(v, "path", path_json(st, 0));
        json_object_set_new(v, "copy", path_json(st, 1));
        json_object_set_new(v, "place", path_json(st, 2));
        json_object_set_new(v, "ours", hash_json(st, 3));
        json_object_set_new(v, "ours_mtime", json_integer(sqlite3_column_int64(st, 4)));
        json_object_set_new(v, "theirs", hash_json(st, 5));
        json_object_set_new(v, "theirs_mtime", json_integer(sqlite3_column_int64(st, 6)));
        json_object_set_new(v, "time", json_integer(sqlite3_column_int64(st, 7)));
        json_array_append_new(list, v);
    }
    reader_put(r, db);
    return list;
}

int replica_conflicts_forget(struct replica *r, const char *under)
{
    struct subtree s;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    subtree_init(&s, under);
    rc = db_run(r->db,
                "DELETE FROM conflict WHERE length(?1)=0 OR path=?1 OR copy=?1 OR"
                " (path>=?2 AND path<?3) OR (copy>=?2 AND copy<?3)",
                "ppp", under, s.from, s.to);
    subtree_release(&s);
    return tx_end(r, rc, "replica.conflicts.forgotten");
}

json_t *replica_quarantine(struct replica *r)
{
    json_t *list = json_array();
    sqlite3_stmt *st;
    struct db *db;

    if (reader_get(r, &db) < 0)
        return list;
    st = db_query(db,
                  "SELECT opid,kind,path,code,error,to_path,created,state FROM outbox"
                  " WHERE state IN ('x','d') ORDER BY opid",
                  "");
    while (db_step(db, st) == 1) {
        json_t *v = json_object();
        json_object_set_new(v, "opid", json_integer(sqlite3_column_int64(st, 0)));
        json_object_set_new(v, "op",
                            json_string(op_kind_name((enum op_kind)sqlite3_column_int(st, 1))));
        json_object_set_new(v, "path", path_json(st, 2));
        json_object_set_new(v, "code", json_string(db_col_text(st, 3)));
        json_object_set_new(v, "error", json_string(db_col_text(st, 4)));
        if (sqlite3_column_type(st, 5) != SQLITE_NULL)
            json_object_set_new(v, "to", path_json(st, 5));
        json_object_set_new(v, "time", json_integer(sqlite3_column_int64(st, 6)));
        json_object_set_new(v, "deferred", json_boolean(*db_col_text(st, 7) == STATE_DEFERRED));
        json_array_append_new(list, v);
    }
    reader_put(r, db);
    return list;
}

int64_t replica_deferred(struct replica *r, char **path, char **why)
{
    sqlite3_stmt *st;
    struct db *db;
    int64_t n = 0;

    *path = *why = NULL;
    if (reader_get(r, &db) < 0)
        return 0;
    if (db_get_int(db, 0, &n, "SELECT count(*) FROM outbox WHERE state='d'", "") < 0)
        n = 0;
    st = n == 0 ? NULL
                : db_query(db,
                           "SELECT path,coalesce(error,'') FROM outbox WHERE state='d'"
                           " ORDER BY opid LIMIT 1",
                           "");
    if (st && db_step(db, st) == 1) {
        *path = xstrdup(db_col_text(st, 0));
        *why = xstrdup(db_col_text(st, 1));
    } else {
        n = 0;
    }
    if (st)
        db_done(st);
    reader_put(r, db);
    return n;
}

/* --- content --- */

/* When it cannot be known, the object must stay. */
bool replica_pins(struct replica *r, const struct hash *h)
{
    return ASK(r, 1,
               "SELECT EXISTS(SELECT 1 FROM outbox WHERE hash=?1) OR"
               " EXISTS(SELECT 1 FROM overlay WHERE hash=?1)",
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
