/* SPDX-License-Identifier: MIT */
#include "sync/master/db/head.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "sync/common/buf.h"

struct head {
    _Atomic int64_t seq;
    struct {
        head_moved_fn *moved;
        void *arg;
    } listeners[HEAD_LISTENERS];
    int n;
};

struct head *head_new(int64_t seq)
{
    struct head *h = xcalloc(1, sizeof(*h));

    h->seq = seq;
    return h;
}

void head_free(struct head *h)
{
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

void head_set(struct head *h, int64_t seq)
{
    if (seq <= h->seq)
        return;
    h->seq = seq;
    for (int i = 0; i < h->n; i++)
        h->listeners[i].moved(h->listeners[i].arg);
}
