/* SPDX-License-Identifier: MIT */
/*
 * renew: a new database in place of a damaged one, at the start or while the replica is in use.
 *
 *   everybody   -EUCLEAN ─────────────────────────────────────────────────────► let in
 *   renewer     close, move aside, open a new one │ listing, put_back (pull.c) │ names of drafts
 *
 * Nobody sees a base that is not whole: unknown is not absent. What is in memory stays as it is:
 * the scope, and the numbers that were given out, so that who waits for an operation finds it again
 * and no two files share an inode. What is read through open files comes from the store meanwhile.
 */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"
#include "sync/mirror/replica/in_use.h"
#include "sync/mirror/replica/unsent_log.h"

/* replica.db and what belongs to it. */
static const char *const ENDS[] = {"", "-wal", "-shm"};
#define N_ENDS 3

static bool any_file(const char *db)
{
    bool any = false;

    for (int i = 0; i < N_ENDS; i++) {
        char *path = xasprintf("%s%s", db, ENDS[i]);

        any |= access(path, F_OK) == 0;
        free(path);
    }
    return any;
}

int replica_move_aside(const char *cache, struct err *e)
{
    char *folder = xasprintf("%s/damaged/%lld", cache, (long long)(clock_wall_ns() / 1000000));
    char *db = xasprintf("%s/replica.db", cache);
    int r = 0;

    if (!any_file(db)) /* moved by an earlier try */
        goto out;
    r = file_mkdirs(folder, 0700);
    for (int i = 0; i < N_ENDS && r == 0; i++) {
        char *from = xasprintf("%s%s", db, ENDS[i]);
        char *to = xasprintf("%s/replica.db%s", folder, ENDS[i]);

        if (rename(from, to) < 0 && errno != ENOENT)
            r = -errno;
        free(from);
        free(to);
    }
    if (r < 0)
        err_sys(e, -r, "cannot move the damaged '%s' to '%s'", db, folder);
    else
        log_warn("the damaged database is kept in '%s'; a new one is built from the master, and "
                 "unsent changes are put back",
                 folder);
    in_use_forget(db);
out:
    free(folder);
    free(db);
    return r;
}

bool replica_is_renewing(struct replica *r)
{
    return atomic_load(&r->shut);
}

/* New files that are open and have no content yet: no record but the database's knows them. As far
 * as they can be read; the others have their names again when they are closed. */
static void remember_drafts(struct replica *r)
{
    sqlite3_stmt *st = db_query(r->db,
                                "SELECT CASE WHEN length(dir)=0 THEN name ELSE"
                                " CAST(dir||'/'||name AS BLOB) END,mode FROM overlay"
                                " WHERE type=?1 AND hash IS NULL",
                                "i", (int64_t)ENTRY_FILE);

    while (db_step(r->db, st) == 1) {
        size_t n = r->drafts.paths.n;

        strlist_add(&r->drafts.paths, db_col_text(st, 0));
        r->drafts.modes = xrealloc(r->drafts.modes, (n + 1) * sizeof(*r->drafts.modes));
        r->drafts.modes[n] = (uint32_t)sqlite3_column_int64(st, 1);
    }
    db_done(st);
}

/* Keeps everybody out, and waits until all are. */
static void shut(struct replica *r)
{
    r->renewer = pthread_self();
    atomic_store(&r->shut, true);
    mutex_lock(&r->pool_lock);
    while (r->n_idle < r->n_open)
        cond_wait(&r->pool_free, &r->pool_lock);
    mutex_unlock(&r->pool_lock);
    mutex_lock(&r->lock); /* a transaction that began before ends */
    if (r->db)
        remember_drafts(r);
    mutex_unlock(&r->lock);
}

/* Closes the damaged one. */
static void unload(struct replica *r)
{
    mutex_lock(&r->checkpoint_lock);
    mutex_lock(&r->lock);
    mutex_lock(&r->pool_lock);
    replica_unload(r);
    mutex_unlock(&r->pool_lock);
    unsent_close(r->unsent);
    r->unsent = NULL;
    mutex_unlock(&r->lock);
    mutex_unlock(&r->checkpoint_lock);
}

/* What is known in memory only goes into the new database. */
static int carry_over(struct replica *r, const struct counters *was)
{
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    if (r->now.next_opid < was->next_opid)
        r->now.next_opid = was->next_opid;
    if (r->now.next_ino < was->next_ino)
        r->now.next_ino = was->next_ino;
    for (size_t i = 0; rc >= 0 && i < r->exclude.n; i++)
        rc = db_run(r->db, "INSERT INTO exclude(pattern) VALUES(?)", "p", r->exclude.v[i]);
    return tx_end(r, rc < 0 ? rc : 0, "replica.renewed");
}

static void remove_files(struct replica *r)
{
    for (int i = 0; i < N_ENDS; i++) {
        char *path = xasprintf("%s%s", r->path, ENDS[i]);

        unlink(path);
        free(path);
    }
    in_use_forget(r->path);
}

int replica_renew(struct replica *r, struct err *e)
{
    struct counters was;
    int rc;

    if (!replica_is_renewing(r))
        shut(r);
    was = r->now;
    unload(r);
    rc = replica_move_aside(r->cache, e);
    if (rc < 0)
        return rc;
    rc = replica_load(r, e);
    if (rc == 0 && (rc = carry_over(r, &was)) < 0)
        err_sys(e, -rc, "cannot write to '%s'", r->path);
    if (rc < 0) {
        unload(r);
        remove_files(r); /* nothing is in it; damaged ones are aside */
        r->now = was;
        return rc;
    }
    trouble_settle(EUCLEAN);
    return 0;
}

void replica_renewed(struct replica *r)
{
    struct node_attr made;

    /* One that cannot be made is made when it is closed. */
    for (size_t i = 0; i < r->drafts.paths.n; i++)
        (void)replica_create(r, r->drafts.paths.v[i], r->drafts.modes[i], &made);
    strlist_release(&r->drafts.paths);
    r->drafts.paths = (struct strlist){NULL, 0};
    free(r->drafts.modes);
    r->drafts.modes = NULL;
    atomic_store(&r->shut, false);
    mutex_lock(&r->pool_lock);
    cond_broadcast(&r->pool_free);
    mutex_unlock(&r->pool_lock);
}
