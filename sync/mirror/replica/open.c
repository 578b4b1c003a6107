/* SPDX-License-Identifier: MIT */
/*
 * open: the database's schema, and how it is opened, loaded into memory, unloaded and closed.
 */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"
#include "sync/mirror/replica/cookie.h"
#include "sync/mirror/replica/in_use.h"
#include "sync/mirror/replica/recover.h"
#include "sync/mirror/replica/unsent_log.h"
#include "sync/proto/json.h"

#define APP_ID      0x65656672 /* "eefr" */
#define PAGE        4096
#define RESERVE_MIN (1 << 20)
#define RESERVE_MAX (8 << 20) /* two logs between checkpoints */
#define CHECK_MS    5000      /* for a look at the whole database at the start */

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
    /* the next listing is a full one: the master may have told the flag before it was kept here */
    "ALTER TABLE base ADD COLUMN hides INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE overlay ADD COLUMN hides INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE incoming ADD COLUMN hides INTEGER NOT NULL DEFAULT 0;"
    "DELETE FROM meta WHERE key='cursor'",
    /* lost.c */
    "CREATE TABLE lost(n INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB NOT NULL,"
    " type INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL, mode INTEGER NOT NULL,"
    " hash BLOB, target BLOB, seq INTEGER NOT NULL, own INTEGER NOT NULL);"
    "ALTER TABLE base ADD COLUMN own INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX lost_path ON lost(path);"
    "CREATE INDEX lost_hash ON lost(hash) WHERE hash IS NOT NULL;"
    "CREATE TABLE timelines(id TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
};

/* The next hello brings those again that cannot be read. */
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
    int rc = in_use_check(r->path, e);

    if (rc == 0)
        rc = db_check(r->path, CHECK_MS, NULL, e);
    if (rc == 0)
        rc = db_open(r->path, DB_SEALED, &r->db, e);
    if (rc == 0 && cookie_register(db_handle(r->db)) < 0)
        rc = err_set(e, EIO, "'%s': out of memory", r->path);
    if (rc == 0)
        rc = db_migrate(r->db, APP_ID, SCHEMA, (int)(sizeof(SCHEMA) / sizeof(SCHEMA[0])), e);
    /* answered: paths confirmed while a listing is being paged; see feed_apply.c. moved:
     * master_renames.c. */
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
        tx_watch_log(r);
        load_counters(r);
        atomic_fetch_add(&r->generation, 1);
        if (!r->master_id) /* else what is known stays */
            rc = load_remote(r, e);
    }
    if (rc == 0)
        rc = db_check_rows(r->db, CHECK_MS, e);
    if (rc == 0)
        rc = recover_adopt(r, e);
    if (rc == 0)
        rc = recover_first_writes(r, e);
    if (rc == 0)
        rc = recover_follow(r);
    if (rc == 0)
        in_use_set(r->path, IN_USE_OPEN);
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
        in_use_set(r->path, IN_USE_CLOSING);
    replica_unload(r);
    if (r->unsent)
        in_use_set(r->path, IN_USE_CLOSED);
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
        tx_checkpoint(r);
    return rc == -ENOSPC || rc == -EDQUOT ? 0 : rc;
}
