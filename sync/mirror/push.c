/* SPDX-License-Identifier: MIT */
/*
 * push: the outbox goes to the master, in order, a batch per request. Each round takes the
 * operations from the head of the outbox: what was answered is gone from there, what was not is
 * sent again under the same counter, and the master tells a repetition from a change.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/mirror/inside.h"
#include "sync/proto/wire.h"

#define BATCH_BYTES (4 * 1024 * 1024)
#define BACKOFF_MAX 5000 /* ms: a full master, say, is asked again so soon */
#define BATCH_OPS   WIRE_OPS_MAX
#define ROOM        (1024 * 1024)

struct push {
    struct mirror *m;
    pthread_t thread;
    bool running;
    struct op *ops;       /* BATCH_OPS; push thread only */
    bool again;           /* the last round settled nothing: sending it once more is no progress */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t more;
    bool kicked, now; /* now: a person has seen to it, so a rest after a failure ends too */
    char reason[512];
};

struct push *push_new(struct mirror *m)
{
    struct push *p = xcalloc(1, sizeof(*p));

    p->m = m;
    p->ops = xcalloc(BATCH_OPS, sizeof(*p->ops));
    mutex_init(&p->lock);
    cond_init(&p->more);
    return p;
}

void push_free(struct push *p)
{
    if (!p)
        return;
    cond_destroy(&p->more);
    mutex_destroy(&p->lock);
    free(p->ops);
    free(p);
}

void push_kick(struct push *p)
{
    mutex_lock(&p->lock);
    p->kicked = true;
    cond_signal(&p->more);
    mutex_unlock(&p->lock);
}

void push_now(struct push *p)
{
    mutex_lock(&p->lock);
    p->kicked = p->now = true;
    cond_signal(&p->more);
    mutex_unlock(&p->lock);
}

void push_reason(struct push *p, char *out)
{
    mutex_lock(&p->lock);
    snprintf(out, sizeof(p->reason), "%s", p->reason);
    mutex_unlock(&p->lock);
}

static void set_reason(struct push *p, const char *why)
{
    bool fresh;

    mutex_lock(&p->lock);
    fresh = *why && strcmp(why, p->reason) != 0;
    snprintf(p->reason, sizeof(p->reason), "%s", why);
    mutex_unlock(&p->lock);
    if (fresh)
        log_warn("changes of this mirror wait: %s", why);
}

/* Reads a small content into op->data. */
static int read_inline(struct push *p, struct op *op)
{
    int fd = store_open(p->m->store, &op->hash, op->size, INT64_MAX);
    ssize_t n;

    if (fd < 0)
        return fd;
    buf_reserve(&op->data, (size_t)op->size + 1);
    n = file_pread(fd, op->data.data, (size_t)op->size, 0);
    close(fd);
    if (n != op->size)
        return n < 0 ? (int)n : -EIO;
    op->data.len = (size_t)n;
    op->data.data[n] = '\0';
    op->has_data = true;
    return 0;
}

/* The content of the first operation is gone or damaged here: nothing that is sent could be right,
 * and the rest must not wait for it. */
static int give_up_content(struct push *p, const struct op *op)
{
    struct op_answer a = {.n = op->n, .result = RESULT_REFUSED};
    struct strlist changed = {NULL, 0};
    char *path = path_encoded(op->path);
    int r;

    a.code = xstrdup("content");
    a.error = xstrdup("its content is missing or damaged in this mirror's cache");
    log_error("the change of '%s' cannot be sent: %s; see eefs-status --quarantine", path, a.error);
    r = replica_outbox_answer(p->m->replica, &a, &changed);
    tell_changed(p->m->tell, &changed);
    op_answer_release(&a);
    free(path);
    return r;
}

/*
 * Makes the first operations ready to be sent: small contents read, large ones on the master. All
 * large ones of the batch are started; the batch ends before the first that is not there yet.
 */
static size_t prepare(struct push *p, size_t n, struct err *e)
{
    size_t i, ready = n, bytes = 0;

    for (i = 0; i < n; i++) {
        struct op *op = &p->ops[i];
        struct err why = {0};
        int r = 0;

        if (op->kind != OP_PUT)
            continue;
        if (op->size > WIRE_INLINE_MAX) {
            enum upload_state s = upload_want(p->m->upload, &op->hash, op->size, op->n, &why);

            r = s == UPLOAD_DONE   ? 0
                : s == UPLOAD_BUSY ? -EINPROGRESS
                                   : -(why.code == ENOENT ? ENOENT : EIO);
        } else if (i < ready) {
            bytes += (size_t)op->size * 4 / 3 + 512;
            r = i > 0 && bytes > BATCH_BYTES ? -EINPROGRESS : read_inline(p, op);
            if (r < 0 && r != -EINPROGRESS)
                err_sys(&why, -r, "cannot read a queued content from the cache");
        }
        if (r < 0 && i < ready) {
            ready = i;
            if (r != -EINPROGRESS && i == 0)
                *e = why;
        }
    }
    return ready;
}

static json_t *make_request(struct push *p, size_t n)
{
    char *outbox = replica_outbox_id(p->m->replica);
    json_t *ops = json_array(), *v;
    size_t i;

    for (i = 0; i < n; i++)
        json_array_append_new(ops, op_to_json(&p->ops[i]));
    v = json_pack("{s:s,s:o}", "outbox", outbox, "ops", ops);
    free(outbox);
    return v;
}

/* Applies one answer. Returns 1 when the operation is settled, 0 when it is to be tried later. */
static int take_answer(struct push *p, const struct op_answer *a, const struct op *op,
                       struct strlist *changed, struct err *e)
{
    int r;

    if (a->n != op->n)
        return err_set(e, EPROTO, "the master answered operation %lld instead of %lld",
                       (long long)a->n, (long long)op->n);
    if (a->result == RESULT_LATER) {
        if (a->code && strcmp(a->code, "need_content") == 0)
            upload_forget(p->m->upload, &op->hash);
        err_set(e, EAGAIN, "%s", a->error ? a->error : "the master asks to try later");
        return 0;
    }
    r = replica_outbox_answer(p->m->replica, a, changed);
    if (r == -ENOSPC)
        store_make_room(p->m->store, ROOM); /* it will be asked again, and answer the same */
    if (r < 0)
        return err_sys(e, -r, "cannot note the master's answer in the cache");
    return 1;
}

/* Returns the number of operations settled, or -errno. e says why it was not all. */
static int take_answers(struct push *p, const struct http_reply *reply, size_t n, struct err *e)
{
    struct strlist changed = {NULL, 0};
    json_t *body = http_reply_json(reply, e), *list, *v;
    size_t i;
    int r = body ? 1 : -EPROTO;
    int settled = 0;

    list = json_object_get(body, "answers");
    if (body && !json_is_array(list))
        r = err_set(e, EPROTO, "the master's answer has no 'answers'");
    for (i = 0; r == 1 && i < n && (v = json_array_get(list, i)); i++) {
        struct op_answer a = {0};

        r = op_answer_from_json(v, &a, e);
        if (r == 0) {
            crash_point("push.answered");
            r = take_answer(p, &a, &p->ops[i], &changed, e);
            op_answer_release(&a);
        }
        settled += r == 1;
    }
    json_decref(body);
    tell_changed(p->m->tell, &changed);
    p->again = settled == 0;
    atomic_fetch_add(&p->m->moved, settled);
    return r < 0 ? r : settled;
}

static void refuse(struct push *p, const struct http_reply *reply, struct err *e)
{
    char action[sizeof(p->m->fault[0].action)];

    snprintf(action, sizeof(action),
             "on the copy run 'eefs-status --renew %.150s': it keeps its changes and sends them as "
             "its own",
             p->m->cfg.mountpoint);
    if (strcmp(reply->code, WIRE_E_CLONED) == 0)
        mirror_fault(p->m, FAULT_CLONED,
                     "another machine uses a copy of this cache: the master refuses the changes of "
                     "this one",
                     action);
    err_set(e, EREMOTEIO, "the master refuses the changes: %s", reply->text);
}

static int send_ops(struct push *p, size_t n, struct err *e)
{
    json_t *v = make_request(p, n);
    char *text = json_dumps(v, JSON_COMPACT);
    struct http_request q = {.method = "POST",
                             .path = WIRE_OPS,
                             .type = "application/json",
                             .body = text,
                             .body_len = text ? strlen(text) : 0,
                             .max_body = 64 * 1024 * 1024,
                             .cancel = &p->m->link.down,
                             .moved = p->again ? NULL : &p->m->moved};
    struct http_reply reply;
    int r;

    json_decref(v);
    crash_point("push.send");
    r = mirror_judge(p->m, http_run(p->m->http, &q, &reply, e), &reply, e);
    free(text);
    if (r == 0 && reply.status != 200) {
        refuse(p, &reply, e);
        r = -EREMOTEIO;
    } else if (r == 0) {
        mirror_fault(p->m, FAULT_CLONED, "", "");
        r = take_answers(p, &reply, n, e);
    }
    http_reply_release(&reply);
    wait_wake(p->m->wait);
    return r;
}

/* One round. Returns > 0: go on at once; 0: nothing to do now; < 0: back off, e says why. */
static int push_round(struct push *p, struct err *e)
{
    int taken = replica_outbox_take(p->m->replica, 0, BATCH_OPS, p->ops), r = 0;
    size_t i, n;

    if (taken < 0)
        return err_sys(e, -taken, "cannot read the queue of changes");
    if (taken == 0)
        return 0;
    n = prepare(p, (size_t)taken, e);
    if (n == 0 && e->code == ENOENT) {
        e->code = 0;
        r = give_up_content(p, &p->ops[0]);
        r = r < 0 ? err_sys(e, -r, "cannot write to the queue of changes") : 1;
        wait_wake(p->m->wait);
    } else if (n > 0) {
        r = replica_outbox_sent(p->m->replica, p->ops, n);
        if (r == -ENOSPC)
            store_make_room(p->m->store, ROOM);
        if (r < 0)
            err_sys(e, -r, "cannot write to the queue of changes");
        else if (r == 0)
            r = 1; /* the first was rewritten meanwhile: take it anew */
        else
            r = send_ops(p, (size_t)r, e);
    }
    if (r == 0 && e->code)
        r = -e->code;
    for (i = 0; i < (size_t)taken; i++)
        op_release(&p->ops[i]);
    return r;
}

static void rest(struct push *p, int64_t ms, bool kick_ends)
{
    int64_t until = clock_mono_ms() + ms;

    mutex_lock(&p->lock);
    while (!mirror_stopping(p->m) && !p->now && !(kick_ends && p->kicked) &&
           cond_wait_until(&p->more, &p->lock, until))
        ;
    p->kicked = p->now = false;
    mutex_unlock(&p->lock);
}

static void *push_main(void *arg)
{
    struct push *p = arg;
    int64_t backoff = 0;

    while (!mirror_stopping(p->m)) {
        struct err e = {0};
        int r;

        if (!link_is_up(&p->m->link)) {
            wait_wake(p->m->wait);
            link_wait_up(&p->m->link, clock_mono_ms() + 1000);
            continue;
        }
        r = push_round(p, &e);
        if (r >= 0) {
            backoff = 0;
            if (e.code == 0)
                set_reason(p, "");
            if (r == 0)
                rest(p, 10000, true);
            continue;
        }
        if (r == -ECANCELED || !link_is_up(&p->m->link))
            continue;
        set_reason(p, e.text);
        backoff = backoff ? backoff * 2 : 250;
        if (backoff > BACKOFF_MAX)
            backoff = BACKOFF_MAX;
        rest(p, backoff, false);
    }
    return NULL;
}

int push_start(struct push *p)
{
    int r = thread_start(&p->thread, "push", push_main, p);

    p->running = r == 0;
    return r;
}

void push_stop(struct push *p)
{
    push_kick(p);
    if (p->running)
        thread_join(p->thread);
    p->running = false;
}
