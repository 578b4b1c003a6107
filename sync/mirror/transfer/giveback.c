/* SPDX-License-Identifier: MIT */
/*
 * The master knows rows by their numbers, which never come again. Each answer says up to which number
 * it has them, so a master that was put back once more, or a new one, gets them anew.
 */
#include "sync/mirror/transfer/giveback.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/hash.h"
#include "sync/common/worker.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/upload.h"
#include "sync/proto/http_client.h"
#include "sync/proto/wire.h"

#define POLL_MS  1000 /* while something is lost */
#define IDLE_MS  1000 /* between looks whether anything is */
#define AGAIN_MS 100  /* while contents go or rows are on their way */

struct giveback {
    struct mirror *m;
    struct worker worker;
    int64_t have;      /* the master has the rows up to this number */
    json_t *forgotten; /* numbers of rows that it need not keep any more */
    json_t *lacks;     /* contents that it wants and that are not here */
};

struct giveback *giveback_new(struct mirror *m)
{
    struct giveback *g = xcalloc(1, sizeof(*g));

    g->m = m;
    g->forgotten = json_array();
    g->lacks = json_array();
    worker_init(&g->worker);
    return g;
}

void giveback_free(struct giveback *g)
{
    if (!g)
        return;
    worker_release(&g->worker);
    json_decref(g->forgotten);
    json_decref(g->lacks);
    free(g);
}

/* Number of contents that are under way. */
static size_t send(struct giveback *g, json_t *wanted)
{
    char code[UPLOAD_CODE_CAP];
    struct err e;
    struct hash h;
    size_t i, n = 0;
    json_t *x;

    json_array_foreach(wanted, i, x)
    {
        int64_t size = -1;

        if (json_is_string(x) && hash_parse(json_string_value(x), &h) == 0)
            size = replica_lost_size(g->m->replica, &h);
        n++;
        if (size < 0 || !store_has(g->m->store, &h, size)) {
            json_array_append(g->lacks, x);
            continue;
        }
        if (upload_want(g->m->upload, &h, size, INT64_MAX, code, &e) == UPLOAD_DONE)
            upload_forget(g->m->upload, &h, INT64_MAX); /* it is asked for all the same */
    }
    return n;
}

/* True: go on at once. */
static bool take_answer(struct giveback *g, json_t *answer, int64_t last)
{
    json_t *done = json_object_get(answer, "done");
    bool again = json_array_size(done) > 0;

    json_array_clear(g->forgotten);
    json_array_clear(g->lacks);
    g->have = json_integer_value(json_object_get(answer, "have"));
    if (again && replica_lost_forget(g->m->replica, done) == 0)
        json_array_extend(g->forgotten, done);
    if (send(g, json_object_get(answer, "want")) > 0)
        again = true;
    if (!again && last <= g->have && json_is_true(json_object_get(answer, "rest")) &&
        replica_lost_count(g->m->replica) == 0)
        (void)replica_lost_rest(g->m->replica);
    return again || (last > 0 && g->have >= last);
}

static bool ask(struct giveback *g)
{
    struct http_request q = {.method = "POST",
                             .path = WIRE_LOST,
                             .type = "application/json",
                             .cancel = &g->m->link.down};
    json_t *o = json_object(), *rows = replica_lost_rows(g->m->replica, g->have, WIRE_LOST_MAX);
    size_t n = json_array_size(rows);
    int64_t last = n ? json_integer_value(json_object_get(json_array_get(rows, n - 1), "n")) : 0;
    char *set, *body;
    struct http_reply reply;
    struct err e = {0};
    bool again = false;
    json_t *answer;

    if (!rows) { /* unknown is not none: asked again later */
        json_decref(o);
        return false;
    }
    set = replica_lost_set(g->m->replica);
    json_object_set_new(o, "set", json_string(set));
    json_object_set_new(o, "after", json_integer(g->have));
    json_object_set_new(o, "rows", rows);
    json_object_set(o, "forgotten", g->forgotten);
    json_object_set(o, "lacks", g->lacks);
    body = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    free(set);
    q.body = body;
    q.body_len = body ? strlen(body) : 0;
    if (link_judge(&g->m->link, http_run(g->m->http, &q, &reply, &e), &reply, &e) == 0 &&
        reply.status == 200 && (answer = http_reply_json(&reply, &e))) {
        again = take_answer(g, answer, last);
        json_decref(answer);
    }
    http_reply_release(&reply);
    free(body);
    return again;
}

static void *giveback_run(void *arg)
{
    struct giveback *g = arg;

    worker_lock(&g->worker);
    while (!mirror_stopping(g->m)) {
        int64_t pause = IDLE_MS;

        worker_unlock(&g->worker);
        if (link_is_up(&g->m->link) && replica_lost_any(g->m->replica))
            pause = ask(g) ? AGAIN_MS : POLL_MS;
        worker_lock(&g->worker);
        worker_wait_locked(&g->worker, clock_mono_ms() + pause);
    }
    worker_unlock(&g->worker);
    return NULL;
}

int giveback_start(struct giveback *g)
{
    return worker_start(&g->worker, "giveback", giveback_run, g);
}

void giveback_stop(struct giveback *g)
{
    worker_stop(&g->worker);
}
