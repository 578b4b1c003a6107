/* SPDX-License-Identifier: MIT */
#include "sync/master/db/checkpoint.h"

#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/worker.h"

/* Pages of the log. */
#define BESIDE 2048
#define FINISH 16384

struct checkpoint {
    struct db *db, *writer;
    int finish;           /* the writer's: when it finishes one next */
    struct worker worker; /* its lock guards the rest */
    bool due;
};

/* Waits for no other thread: frames that readers need, or that are being committed, stay. */
static void move(sqlite3 *h)
{
    sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* After each commit, in the writer's thread. */
static int committed(void *arg, sqlite3 *h, const char *name, int pages)
{
    struct checkpoint *c = arg;

    (void)name;
    if (pages >= BESIDE)
        checkpoint_wake(c);
    if (pages < FINISH) {
        c->finish = FINISH;
    } else if (pages >= c->finish) {
        move(h);
        c->finish = pages + BESIDE; /* a reader may keep the log from restarting */
    }
    return SQLITE_OK;
}

static void *checkpoint_run(void *arg)
{
    struct checkpoint *c = arg;

    worker_lock(&c->worker);
    while (!worker_stopping_locked(&c->worker)) {
        if (!c->due) {
            worker_wait_locked(&c->worker, WORKER_NEVER);
            continue;
        }
        c->due = false;
        worker_unlock(&c->worker);
        move(db_handle(c->db));
        worker_lock(&c->worker);
    }
    worker_unlock(&c->worker);
    return NULL;
}

void checkpoint_wake(struct checkpoint *c)
{
    worker_lock(&c->worker);
    c->due = true;
    worker_wake_locked(&c->worker);
    worker_unlock(&c->worker);
}

int checkpoint_start(const char *path, struct db *writer, struct checkpoint **ret, struct err *e)
{
    struct checkpoint *c = xcalloc(1, sizeof(*c));
    int r = db_open(path, DB_SEALED, &c->db, e);

    if (r < 0) {
        free(c);
        return r;
    }
    c->writer = writer;
    c->finish = FINISH;
    worker_init(&c->worker);
    r = worker_start(&c->worker, "checkpoint", checkpoint_run, c);
    if (r < 0) {
        err_sys(e, -r, "cannot start the thread that writes the database");
        worker_release(&c->worker);
        db_close(c->db);
        free(c);
        return r;
    }
    sqlite3_wal_hook(db_handle(writer), committed, c); /* replaces SQLite's own checkpoints */
    *ret = c;
    return 0;
}

void checkpoint_stop(struct checkpoint *c)
{
    if (!c)
        return;
    sqlite3_wal_hook(db_handle(c->writer), NULL, NULL);
    worker_release(&c->worker);
    db_close(c->db);
    free(c);
}
