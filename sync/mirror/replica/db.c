/* SPDX-License-Identifier: MIT */
/*
 * db: transactions of the one writer, checkpoints, and the pool of readers' connections.
 *
 *   tx_begin ─ lock held ─ rows, log, counters ─ tx_end: commit, record of what is not sent (the
 *   lock is given up), and every so many pages a checkpoint on a connection of its own
 */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "sync/common/crash.h"
#include "sync/common/thread.h"
#include "sync/mirror/replica/unsent_log.h"

#define CHECKPOINT_PAGES 1000 /* 4 MiB of log … */
#define CHECKPOINT_PART  2    /* … or this part of what is reserved for it, if less */
#define FULL             ((int64_t)1 << 20) /* free bytes below which the disk counts as full */

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
void tx_checkpoint(struct replica *r)
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
    atomic_fetch_add(&r->generation, 1); /* readers see the commit already */
    if (r->unsent)
        unsent_committed(r->unsent, rc >= 0);
    pages = rc >= 0 ? r->wal_pages : 0;
    mutex_unlock(&r->lock);
    if (rc >= 0)
        crash_point(point);
    if (pages >= CHECKPOINT_PAGES || pages >= r->reserve_pages / CHECKPOINT_PART ||
        rc == -ENOSPC) /* then the log begins anew */
        tx_checkpoint(r);
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

void tx_watch_log(struct replica *r)
{
    sqlite3_wal_hook(db_handle(r->db), note_wal_pages, r);
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
