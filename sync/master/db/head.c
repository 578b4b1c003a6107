/* SPDX-License-Identifier: MIT */
#include "sync/master/db/head.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"
#include "sync/master/db/registry.h"

struct head {
    _Atomic int64_t seq;
    struct {
        head_moved_fn *moved;
        void *arg;
    } listeners[HEAD_LISTENERS];
    int n;
    pthread_mutex_t lock;         /* guards the rest */
    char author[MIRROR_NAME_CAP]; /* of the last commits; "": several, or the master */
    int64_t from;                 /* the seq before the first of these */
};

struct head *head_new(int64_t seq)
{
    struct head *h = xcalloc(1, sizeof(*h));

    h->seq = h->from = seq;
    mutex_init(&h->lock);
    return h;
}

void head_free(struct head *h)
{
    if (!h)
        return;
    mutex_destroy(&h->lock);
    free(h);
}

void head_listen(struct head *h, head_moved_fn *moved, void *arg)
{
    if (h->n == HEAD_LISTENERS)
        abort();
    h->listeners[h->n].moved = moved;
    h->listeners[h->n++].arg = arg;
}

int64_t head_seq(const struct head *h)
{
    return h->seq;
}

void head_set(struct head *h, int64_t seq, const char *author)
{
    if (seq <= h->seq)
        return;
    mutex_lock(&h->lock);
    if (!author || strcmp(h->author, author) != 0) {
        h->from = author ? h->seq : seq;
        snprintf(h->author, sizeof(h->author), "%s", author ? author : "");
    }
    h->seq = seq;
    mutex_unlock(&h->lock);
    for (int i = 0; i < h->n; i++)
        h->listeners[i].moved(h->listeners[i].arg);
}

bool head_is_by(struct head *h, const char *mirror, int64_t seq)
{
    bool by;

    mutex_lock(&h->lock);
    by = seq < h->seq && seq >= h->from && strcmp(h->author, mirror) == 0;
    mutex_unlock(&h->lock);
    return by;
}
