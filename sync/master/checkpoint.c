/* SPDX-License-Identifier: MIT */
#include "sync/master/checkpoint.h"

#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"

/* Pages of the log. */
#define BESIDE 2048
#define FINISH 16384

struct checkpoint {
    struct db *db, *writer;
    pthread_t thread;
    int finish;           /* the writer's: when it finishes one next */
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t change;
    bool due, stopping;
};

/* Waits for nobody: what readers still need, and what is being committed, is left. */
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
        c->finish = pages + BESIDE; /* a reader may keep the log from beginning anew */
    }
    return SQLITE_OK;
}

static void *run(void *arg)
{
    struct checkpoint *c = arg;

    mutex_lock(&c->lock);
    while (!c->stopping) {
        if (!c->due) {
            cond_wait(&c->change, &c->lock);
            continue;
        }
        c->due = false;
        mutex_unlock(&c->lock);
        move(db_handle(c->db));
        mutex_lock(&c->lock);
    }
    mutex_unlock(&c->lock);
    return NULL;
}

void checkpoint_wake(struct checkpoint *c)
{
    mutex_lock(&c->lock);
    c->due = true;
    cond_signal(&c->change);
    mutex_unlock(&c->lock);
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
    mutex_init(&c->lock);
    cond_init(&c->change);
    r = thread_start(&c->thread, "checkpoint", run, c);
    if (r < 0) {
        err_sys(e, -r, "cannot start the thread that writes the database");
        cond_destroy(&c->change);
        mutex_destroy(&c->lock);
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
    mutex_lock(&c->lock);
    c->stopping = true;
    cond_signal(&c->change);
    mutex_unlock(&c->lock);
    thread_join(c->thread);
    db_close(c->db);
    cond_destroy(&c->change);
    mutex_destroy(&c->lock);
    free(c);
}
