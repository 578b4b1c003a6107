/* SPDX-License-Identifier: MIT */
#include "sync/dns/check.h"

#include <jansson.h>
#include <stdlib.h>

#include "sync/common/log.h"
#include "sync/common/thread.h"

#define TRIES 2

/* One server, in a thread of its own. */
struct check {
    struct probe how;
    pthread_t thread;
    bool running;
    int result, weight;
    struct err e;
};

static int weight_of(const struct buf *page)
{
    json_t *o = page->len > 0 ? json_loadb(page->data, page->len, 0, NULL) : NULL;
    json_t *w = json_object_get(o, "weight");
    int weight = 100;

    if (json_is_integer(w) && json_integer_value(w) >= 1 && json_integer_value(w) <= 100)
        weight = (int)json_integer_value(w);
    json_decref(o);
    return weight;
}

static void *check_run(void *arg)
{
    struct check *c = arg;
    struct buf page = BUF_INIT;

    c->result = -1;
    for (int i = 0; i < TRIES && c->result < 0; i++) {
        buf_clear(&page);
        c->result = probe_run(&c->how, NULL, &page, &c->e);
    }
    c->weight = weight_of(&page);
    buf_release(&page);
    return NULL;
}

static void take_result(struct pool *p, size_t i, const struct check *c)
{
    if (!pool_checked(p, i, c->result < 0 ? c->e.text : NULL, c->weight))
        return;
    if (p->v[i].up)
        log_info("%s is up", p->v[i].address);
    else
        log_warn("%s is down: %s", p->v[i].address, p->v[i].reason);
}

void check_all(struct pool *p, const struct probe *how)
{
    struct check *all = xcalloc(p->n + 1, sizeof(*all));

    for (size_t i = 0; i < p->n; i++) {
        all[i].how = *how;
        all[i].how.address = p->v[i].address;
        all[i].running = thread_start(&all[i].thread, "check", check_run, &all[i]) == 0;
        if (!all[i].running)
            check_run(&all[i]);
    }
    for (size_t i = 0; i < p->n; i++) {
        if (all[i].running)
            thread_join(all[i].thread);
        take_result(p, i, &all[i]);
    }
    pool_weigh(p);
    free(all);
}
