/* SPDX-License-Identifier: MIT */
#include "sync/master/db/readers.h"

#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"

#define IDLE_MAX 16

struct readers {
    char *path;
    pthread_mutex_t lock; /* guards the rest */
    struct db *idle[IDLE_MAX];
    size_t n;
};

struct readers *readers_new(const char *path)
{
    struct readers *p = xcalloc(1, sizeof(*p));

    p->path = xstrdup(path);
    mutex_init(&p->lock);
    return p;
}

void readers_free(struct readers *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        db_close(p->idle[i]);
    mutex_destroy(&p->lock);
    free(p->path);
    free(p);
}

struct db *readers_get(struct readers *p)
{
    struct db *db = NULL;
    struct err e;

    mutex_lock(&p->lock);
    if (p->n > 0)
        db = p->idle[--p->n];
    mutex_unlock(&p->lock);
    if (!db && db_open(p->path, DB_READ_ONLY | DB_SEALED, &db, &e) < 0)
        log_error("%s", e.text);
    return db;
}

void readers_put(struct readers *p, struct db *db)
{
    if (!db)
        return;
    mutex_lock(&p->lock);
    if (p->n < IDLE_MAX) {
        p->idle[p->n++] = db;
        db = NULL;
    }
    mutex_unlock(&p->lock);
    db_close(db);
}
