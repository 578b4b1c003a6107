/* SPDX-License-Identifier: MIT */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"
#include "sync/mirror/replica/in_use.h"
#include "sync/mirror/replica/unsent_log.h"
#include "sync/mirror/replica/cookie.h"
#include "sync/proto/json.h"

#define APP_ID           0x65656672 /* "eefr" */
#define PAGE             4096
#define CHECKPOINT_PAGES 1000 /* 4 MiB of log … */
#define CHECKPOINT_PART  2    /* … or this part of what is reserved for it, if less */
#define FULL             ((int64_t)1 << 20) /* free bytes below which the disk counts as full */
#define RESERVE_MIN      (1 << 20)
#define RESERVE_MAX      (8 << 20) /* two logs between checkpoints */
#define OUTBOX_ID_BYTES  16
#define CHECK_MS         5000 /* for a look at the whole database at the start */

static const char *const SCHEMA[] = {
    "CREATE TABLE base(dir BLOB NOT NULL, name BLOB NOT NULL, type INTEGER NOT NULL,"
    " size INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL, hash BLOB,"
    " target BLOB, seq INTEGER NOT NULL, ino INTEGER NOT NULL, PRIMARY KEY(dir,name))"
    " WITHOUT ROWID;"
    "CREATE INDEX base_gone ON base(seq) WHERE type=0;"
    "CREATE TABLE overlay(dir BLOB NOT NULL, name BLOB NOT NULL, opid INTEGER NOT NULL,"
    " type INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"
    " mode INTEGER NOT NULL, hash BLOB, target BLOB, ino INTEGER NOT NULL,"
    " PRIMARY KEY(dir,name,opid)) WITHOUT ROWID;"
    "CREATE INDEX overlay_opid ON overlay(opid);"
    "CREATE INDEX overlay_hash ON overlay(hash) WHERE hash IS NOT NULL;"
    "CREATE TABLE outbox(opid INTEGER PRIMARY KEY, kind INTEGER NOT NULL, path BLOB NOT NULL,"
    " to_path BLOB, target BLOB, hash BLOB, size INTEGER NOT NULL, mtime INTEGER NOT NULL,"
    " mode INTEGER NOT NULL, pre TEXT NOT NULL, to_pre TEXT NOT NULL, state TEXT NOT NULL,"
    " code TEXT, error TEXT, created INTEGER NOT NULL);"
    "CREATE INDEX outbox_path ON outbox(path);"
    "CREATE INDEX outbox_to ON outbox(to_path) WHERE to_path IS NOT NULL;"
    "CREATE INDEX outbox_hash ON outbox(hash) WHERE hash IS NOT NULL;"
    "CREATE INDEX outbox_state ON outbox(state,size);"
    "CREATE TABLE incoming(path BLOB NOT NULL PRIMARY KEY, type INTEGER NOT NULL,"
    " size INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL, hash BLOB,"
    " target BLOB, seq INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE conflict(id INTEGER PRIMARY KEY, path BLOB NOT NULL, copy BLOB NOT NULL,"
    " ours BLOB, theirs BLOB, time INTEGER NOT NULL);"
    "CREATE TABLE exclude(n INTEGER PRIMARY KEY, pattern BLOB NOT NULL);"
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "ALTER TABLE conflict ADD COLUMN place TEXT;"
    "ALTER TABLE conflict ADD COLUMN ours_mtime INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE conflict ADD COLUMN theirs_mtime INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX conflict_copy ON conflict(copy);"
    "CREATE TABLE renumbered(old INTEGER PRIMARY KEY, new INTEGER NOT NULL);"
    "CREATE INDEX renumbered_new ON renumbered(new)",
    "ALTER TABLE base ADD COLUMN cookie INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE overlay ADD COLUMN cookie INTEGER NOT NULL DEFAULT 0;"
    "UPDATE base SET cookie=name_cookie(name);"
    "UPDATE overlay SET cookie=name_cookie(name);"
    "CREATE INDEX base_cookie ON base(dir,cookie,name,type,ino);"
    "CREATE INDEX overlay_cookie ON overlay(dir,cookie,name,opid,type,ino)",
    "CREATE TABLE skipped(path BLOB NOT NULL, staged INTEGER NOT NULL, why TEXT NOT NULL,"
    " PRIMARY KEY(path,staged)) WITHOUT ROWID",
    /* atime and ctime are this mirror's; before, -1 said that an operation sets no mtime */
    "ALTER TABLE base ADD COLUMN atime INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE base ADD COLUMN ctime INTEGER NOT NULL DEFAULT 0;"
    "UPDATE base SET atime=mtime,ctime=strftime('%s','now')*1000000000;"
    "ALTER TABLE overlay ADD COLUMN atime INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE overlay ADD COLUMN ctime INTEGER NOT NULL DEFAULT 0;"
    "UPDATE overlay SET atime=mtime,ctime=strftime('%s','now')*1000000000;"
    "ALTER TABLE outbox ADD COLUMN has_mtime INTEGER NOT NULL DEFAULT 1;"
    "UPDATE outbox SET has_mtime=0 WHERE mtime=-1",
    "ALTER TABLE outbox ADD COLUMN umask INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE outbox ADD COLUMN known INTEGER NOT NULL DEFAULT 0",
};

/* --- meta --- */

char *meta_get(struct db *db, const char *key)
{
    sqlite3_stmt *st = db_query(db, "SELECT value FROM meta WHERE key=?", "s", key);
    char *v = xstrdup(db_step(db, st) == 1 ? db_col_text(st, 0) : "");

    db_done(st);
    return v;
}

static int64_t meta_get_int(struct db *db, const char *key, int64_t none)
{
    char *v = meta_get(db, key);
    int64_t n = *v ? strtoll(v, NULL, 10) : none;

    free(v);
    return n;
}

int meta_set(struct db *db, const char *key, const char *value)
{
    int r = db_run(db, "INSERT OR REPLACE INTO meta(key,value) VALUES(?,?)", "ss", key, value);

    return r < 0 ? r : 0;
}

int meta_set_int(struct db *db, const char *key, int64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return meta_set(db, key, text);
}

int meta_keep(struct db *db, const char *key, const char *value)
{
    char *old = meta_get(db, key);
    int r = strcmp(old, value) == 0 ? 0 : meta_set(db, key, value);

    free(old);
    return r;
}

/* --- transactions --- */

static void publish_counters(struct replica *r)
{
    r->root_mtime = r->now.root_mtime;
    r->entries = r->now.entries;
    r->bytes = r->now.bytes;
}

bool replica_keeps_out(struct replica *r)
{
    return atomic_load(&r->shut) && !pthread_equal(r->renewer, pthread_self());
}

int tx_begin(struct replica *r)
{
    int rc;

    mutex_lock(&r->lock);
    rc = replica_keeps_out(r) || !r->db ? -EUCLEAN : db_begin(r->db);
    if (rc < 0) {
        mutex_unlock(&r->lock);
        return rc;
    }
    r->saved = r->now;
    return 0;
}

static bool is_full(const struct replica *r)
{
    struct statvfs v;

    return statvfs(r->path, &v) == 0 && (int64_t)v.f_bavail * (int64_t)v.f_frsize < FULL;
}

int tx_begin_spare(struct replica *r)
{
    int rc = tx_begin(r);

    if (rc == 0 && r->wal_pages > r->reserve_pages / 4 * 3 && is_full(r))
        return tx_end(r, -ENOSPC, "replica.full");
    return rc;
}

static int save_counters(struct replica *r)
{
    int rc = 0;

    if (r->now.next_opid != r->saved.next_opid)
        rc = meta_set_int(r->db, "next_opid", r->now.next_opid);
    if (rc == 0 && r->now.next_ino != r->saved.next_ino)
        rc = meta_set_int(r->db, "next_ino", r->now.next_ino);
    if (rc == 0 && r->now.root_mtime != r->saved.root_mtime)
        rc = meta_set_int(r->db, "root_mtime", r->now.root_mtime);
    return rc;
}

/* The log goes into the database on a connection of its own: its fsyncs hold up no writer. A
 * passive checkpoint waits for nobody. */
static void checkpoint(struct replica *r)
{
    if (pthread_mutex_trylock(&r->checkpoint_lock) != 0)
        return;
    if (r->checkpoint_db)
        sqlite3_wal_checkpoint_v2(db_handle(r->checkpoint_db), NULL, SQLITE_CHECKPOINT_PASSIVE,
                                  NULL, NULL);
    mutex_unlock(&r->checkpoint_lock);
}

int tx_end(struct replica *r, int rc, const char *point)
{
    int pages;

    if (rc >= 0) {
        int rc2 = save_counters(r);
        if (rc2 == 0) {
            crash_point("replica.commit");
            rc2 = db_commit(r->db);
        }
        if (rc2 < 0)
            rc = rc2;
    }
    if (rc < 0) {
        db_rollback(r->db);
        r->now = r->saved;
    }
    publish_counters(r);
    if (r->unsent)
        unsent_committed(r->unsent, rc >= 0);
    pages = rc >= 0 ? r->wal_pages : 0;
    mutex_unlock(&r->lock);
    if (rc >= 0)
        crash_point(point);
    if (pages >= CHECKPOINT_PAGES || pages >= r->reserve_pages / CHECKPOINT_PART ||
        rc == -ENOSPC) /* then the log begins anew */
        checkpoint(r);
    return rc;
}

static int note_wal_pages(void *arg, sqlite3 *h, const char *name, int pages)
{
    struct replica *r = arg;

    (void)h;
    (void)name;
    r->wal_pages = pages;
    return SQLITE_OK;
}

/* --- readers --- */

/* For who waits for a connection; and for who waits until there is none in use. With pool_lock. */
static void wake_locked(struct replica *r)
{
    if (atomic_load(&r->shut))
        cond_broadcast(&r->pool_free);
    else
        cond_signal(&r->pool_free);
}

int reader_get(struct replica *r, struct db **ret)
{
    struct db *db = NULL;
    int rc;

    mutex_lock(&r->pool_lock);
    while (r->n_idle == 0 && r->n_open == READERS_MAX && !replica_keeps_out(r))
        cond_wait(&r->pool_free, &r->pool_lock);
    if (replica_keeps_out(r)) {
        mutex_unlock(&r->pool_lock);
        return -EUCLEAN;
    }
    if (r->n_idle > 0)
        db = r->idle[--r->n_idle];
    else
        r->n_open++;
    mutex_unlock(&r->pool_lock);
    if (db) {
        *ret = db;
        return 0;
    }
    rc = db_open(r->path, DB_READ_ONLY | DB_SEALED, ret, NULL);
    if (rc < 0) {
        mutex_lock(&r->pool_lock);
        r->n_open--;
        wake_locked(r);
        mutex_unlock(&r->pool_lock);
    }
    return rc;
}

void reader_put(struct replica *r, struct db *db)
{
    mutex_lock(&r->pool_lock);
    r->idle[r->n_idle++] = db;
    wake_locked(r);
    mutex_unlock(&r->pool_lock);
}

/* --- open and close --- */

/* What a killed run created and never published has no content: it is dropped. */
static int drop_unpublished(struct replica *r)
{
    int64_t opid = 0;
    int rc;

    while ((rc = db_get_int(r->db, 0, &opid, "SELECT opid FROM outbox WHERE state='o' LIMIT 1",
                            "")) == 0 &&
           opid > 0) {
        rc = db_run(r->db, "DELETE FROM overlay WHERE opid=? AND type=1 AND hash IS NULL", "i",
                    opid);
        if (rc >= 0)
            rc = outbox_delete(r->db, opid);
        if (rc == 0)
            rc = keep_on(r, opid);
        if (rc < 0)
            return rc;
    }
    if (rc >= 0)
        rc = db_run(r->db, "DELETE FROM overlay WHERE opid=?1 AND type=1 AND hash IS NULL", "i",
                    REPLICA_LOCAL);
    if (rc >= 0)
        rc = db_run(r->db, "DELETE FROM incoming", "");
    if (rc >= 0)
        rc = skip_drop(r->db);
    if (rc >= 0)
        rc = db_run(r->db, "DELETE FROM renumbered", "");
    return rc < 0 ? rc : 0;
}

int replica_recount(struct replica *r)
{
    sqlite3_stmt *st =
        db_query(r->db,
                 "SELECT count(*), total(size) FROM ("
                 " SELECT size FROM base b WHERE type<>0 AND NOT EXISTS"
                 "  (SELECT 1 FROM overlay o WHERE o.dir=b.dir AND o.name=b.name)"
                 " UNION ALL"
                 " SELECT size FROM (SELECT type, size, max(opid) FROM overlay GROUP BY dir,name)"
                 " WHERE type<>0)",
                 "");
    int rc = db_step(r->db, st);

    if (rc == 1) {
        r->now.entries = sqlite3_column_int64(st, 0);
        r->now.bytes = sqlite3_column_int64(st, 1);
    }
    db_done(st);
    return rc < 0 ? rc : 0;
}

/* Those that cannot be read are told again by the next hello. */
static void load_volumes(struct replica *r)
{
    char *text = meta_get(r->db, "volumes");
    json_t *v = *text ? json_loads(text, 0, NULL) : NULL;

    strlist_release(&r->volumes);
    if (v)
        (void)json_get_paths(v, "volumes", &r->volumes);
    json_decref(v);
    free(text);
}

static int load_remote(struct replica *r, struct err *e)
{
    char *text = meta_get(r->db, "scope");
    json_t *v = NULL;
    sqlite3_stmt *st;
    int rc;

    r->master_id = meta_get(r->db, "master_id");
    if (*text) {
        v = json_loads(text, 0, NULL);
        rc = v ? scope_from_json(v, &r->scope) : -EPROTO;
        json_decref(v);
        if (rc < 0) {
            free(text);
            return err_set(e, EPROTO, "'%s': the saved scope is damaged", r->path);
        }
        r->remote_known = true;
    }
    free(text);
    load_volumes(r);
    st = db_query(r->db, "SELECT pattern FROM exclude ORDER BY n", "");
    while ((rc = db_step(r->db, st)) == 1)
        strlist_add(&r->exclude, db_col_text(st, 0));
    return rc < 0 ? db_error(r->db, e, "cannot read the exclude list") : 0;
}

static int make_outbox_id(struct replica *r)
{
    uint8_t raw[OUTBOX_ID_BYTES];
    struct buf hex = BUF_INIT;
    int rc;

    file_random(raw, sizeof(raw));
    hex_encode(&hex, raw, sizeof(raw));
    rc = meta_set(r->db, "outbox_id", hex.data);
    buf_release(&hex);
    return rc;
}

int replica_outbox_renew(struct replica *r)
{
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = make_outbox_id(r);
    if (rc == 0)
        rc = db_run(r->db, "UPDATE outbox SET state='q' WHERE state='s'", "");
    return tx_end(r, rc < 0 ? rc : 0, "replica.outbox.renewed");
}

/*
 * A new database, or one that is older than the record of what is not sent: it goes on with the
 * numbers of that, and what it lacks is put back once the base is there.
 */
static int adopt(struct replica *r, struct err *e)
{
    char *id = meta_get(r->db, "outbox_id");
    const char *theirs;
    int rc = 0;

    r->unsent = unsent_open(r->cache);
    theirs = unsent_outbox(r->unsent);
    if (*theirs &&
        (!*id || (strcmp(id, theirs) == 0 && unsent_next(r->unsent) > r->now.next_opid))) {
        rc = tx_begin(r);
        if (rc == 0) {
            r->now.next_opid = unsent_next(r->unsent);
            rc = meta_set(r->db, "outbox_id", theirs);
            if (rc == 0)
                rc = meta_set(r->db, "put_back", "1");
            rc = tx_end(r, rc, "replica.adopted");
        }
    }
    free(id);
    return rc < 0 ? err_sys(e, -rc, "cannot write to '%s'", r->path) : 0;
}

/* What cannot be noted (a full disk) is tried again with the next change. */
static int follow_unsent(struct replica *r)
{
    char *wanted = meta_get(r->db, "put_back");

    r->put_back = *wanted;
    free(wanted);
    mutex_lock(&r->lock);
    (void)unsent_follow(r->unsent, r, !r->put_back);
    mutex_unlock(&r->lock);
    return 0;
}

bool replica_wants_back(const struct replica *r)
{
    return r->put_back;
}

int replica_put_back(struct replica *r, bool (*has)(void *arg, const struct hash *h, int64_t size),
                     void *arg, struct strlist *lost)
{
    int rc = 0;

    if (r->put_back)
        rc = unsent_put_back(r->unsent, has, arg, lost);
    if (rc >= 0)
        r->put_back = false;
    return rc;
}

static int first_writes(struct replica *r, struct err *e)
{
    int rc = tx_begin(r);
    char *id;

    if (rc < 0)
        return err_sys(e, -rc, "cannot write to '%s'", r->path);
    id = meta_get(r->db, "outbox_id");
    if (!*id)
        rc = make_outbox_id(r);
    free(id);
    if (rc == 0)
        rc = drop_unpublished(r);
    if (rc == 0)
        rc = replica_recount(r);
    if (rc == 0) /* so that there is a log while it is open (mark.h) */
        rc = meta_set_int(r->db, "opened", clock_wall_ns());
    rc = tx_end(r, rc, "replica.opened");
    return rc < 0 ? err_sys(e, -rc, "cannot write to '%s'", r->path) : 0;
}

static void load_counters(struct replica *r)
{
    r->now.next_opid = meta_get_int(r->db, "next_opid", 1);
    r->now.next_ino = meta_get_int(r->db, "next_ino", ROOT_INO + 1);
    r->now.root_mtime = meta_get_int(r->db, "root_mtime", 0);
    if (r->now.root_mtime == 0)
        r->now.root_mtime = clock_wall_ns();
}

int replica_load(struct replica *r, struct err *e)
{
    int rc = mark_check(r->path, e);

    if (rc == 0)
        rc = db_check(r->path, CHECK_MS, NULL, e);
    if (rc == 0)
        rc = db_open(r->path, DB_SEALED, &r->db, e);
    if (rc == 0 && cookie_register(db_handle(r->db)) < 0)
        rc = err_set(e, EIO, "'%s': out of memory", r->path);
    if (rc == 0)
        rc = db_migrate(r->db, APP_ID, SCHEMA, (int)(sizeof(SCHEMA) / sizeof(SCHEMA[0])), e);
    /* answered: what was confirmed while a listing is being paged; see follow.c. moved:
     * renamings.c. */
    if (rc == 0)
        rc = db_exec(r->db,
                     "PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=0;"
                     "CREATE TEMP TABLE answered(path BLOB PRIMARY KEY, seq INTEGER NOT NULL)"
                     " WITHOUT ROWID;"
                     "CREATE TEMP TABLE moved(path BLOB PRIMARY KEY, moved_from BLOB NOT NULL)"
                     " WITHOUT ROWID;"
                     "CREATE INDEX temp.moved_from ON moved(moved_from)",
                     e);
    if (rc == 0)
        rc = db_open(r->path, DB_SEALED, &r->checkpoint_db, e);
    if (rc == 0)
        r->reserve_pages = (int)(db_reserve(r->db, RESERVE_MIN, RESERVE_MAX) / PAGE);
    if (rc == 0) {
        sqlite3_wal_hook(db_handle(r->db), note_wal_pages, r);
        load_counters(r);
        if (!r->master_id) /* else what is known stays */
            rc = load_remote(r, e);
    }
    if (rc == 0)
        rc = db_check_rows(r->db, CHECK_MS, e);
    if (rc == 0)
        rc = adopt(r, e);
    if (rc == 0)
        rc = first_writes(r, e);
    if (rc == 0)
        rc = follow_unsent(r);
    if (rc == 0)
        mark_set(r->path, MARK_OPEN);
    return rc;
}

void replica_unload(struct replica *r)
{
    for (int i = 0; i < r->n_idle; i++)
        db_close(r->idle[i]);
    r->n_idle = r->n_open = 0;
    db_close(r->checkpoint_db);
    db_close(r->db);
    r->checkpoint_db = r->db = NULL;
}

int replica_open(const char *cache, bool read_only, struct replica **ret, struct err *e)
{
    struct replica *r = xcalloc(1, sizeof(*r));
    int rc;

    r->read_only = read_only;
    r->cache = xstrdup(cache);
    r->path = xasprintf("%s/replica.db", cache);
    mutex_init(&r->lock);
    mutex_init(&r->checkpoint_lock);
    mutex_init(&r->pool_lock);
    mutex_init(&r->scope_lock);
    cond_init(&r->pool_free);
    rc = replica_load(r, e);
    if (rc < 0) {
        replica_close(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void replica_close(struct replica *r)
{
    if (!r)
        return;
    if (r->unsent)
        mark_set(r->path, MARK_CLOSING);
    replica_unload(r);
    if (r->unsent)
        mark_set(r->path, MARK_CLOSED);
    unsent_close(r->unsent);
    scope_release(&r->scope);
    strlist_release(&r->exclude);
    strlist_release(&r->volumes);
    free(r->master_id);
    cond_destroy(&r->pool_free);
    mutex_destroy(&r->scope_lock);
    mutex_destroy(&r->pool_lock);
    mutex_destroy(&r->checkpoint_lock);
    mutex_destroy(&r->lock);
    strlist_release(&r->drafts.paths);
    free(r->drafts.modes);
    free(r->path);
    free(r->cache);
    free(r);
}

static int sync_and_close(int fd)
{
    int rc = fdatasync(fd) < 0 ? trouble_at(-errno, fd, NULL) : 0;

    close(fd);
    return rc;
}

/* fsync of the log, without the lock: commits go on meanwhile, and so does a renewal. */
int replica_sync(struct replica *r)
{
    int log = -1, unsent = -1, rc = -EUCLEAN, rc2 = 0;

    mutex_lock(&r->lock);
    if (!replica_keeps_out(r) && r->db) {
        log = db_log(r->db);
        rc = log < 0 ? -errno : 0;
        unsent = unsent_file(r->unsent);
    }
    mutex_unlock(&r->lock);
    if (log >= 0)
        rc = sync_and_close(log);
    if (unsent >= 0)
        rc2 = sync_and_close(unsent);
    return rc < 0 ? rc : rc2;
}

int replica_try(struct replica *r)
{
    struct db *db;
    int rc = reader_get(r, &db);

    if (rc < 0)
        return rc;
    rc = db_read_all(db);
    reader_put(r, db);
    if (rc == 0)
        rc = tx_begin(r);
    if (rc == 0)
        rc = tx_end(r, meta_set_int(r->db, "tried", clock_wall_ns()), "replica.tried");
    if (rc == 0)
        rc = replica_sync(r);
    if (rc == 0) /* fsync(2) says EIO once only: what it said so of is written once more */
        checkpoint(r);
    return rc == -ENOSPC || rc == -EDQUOT ? 0 : rc;
}
