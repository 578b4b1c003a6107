/* SPDX-License-Identifier: MIT */
/*
 * push: the outbox goes to the master, in order, a batch per request. Each round takes the
 * operations from the head of the outbox: answered operations are gone from there, unanswered ones
 * are sent again under the same counter, by which the master recognises a repetition. Operations
 * that cannot be sent or applied are set aside (set_aside.h).
 */
#include "sync/mirror/transfer/push.h"

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
#include "sync/common/worker.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store_admin.h"
#include "sync/mirror/transfer/changes.h"
#include "sync/mirror/transfer/context.h"
#include "sync/mirror/transfer/set_aside.h"
#include "sync/mirror/transfer/upload.h"
#include "sync/mirror/transfer/wait.h"
#include "sync/proto/http_client.h"
#include "sync/proto/wire.h"

#define BATCH_BYTES (4 * 1024 * 1024)
#define BACKOFF_MAX 5000 /* ms: a full master, say, is asked again so soon */
#define BATCH_OPS   WIRE_OPS_MAX
#define ROOM        (1024 * 1024)
#define IDLE_MS     10000

struct push {
    struct mirror *m;
    struct worker worker;
    /* push thread only */
    struct op *ops; /* BATCH_OPS */
    size_t *ends;   /* where each ends in the request's body */
    int64_t head;   /* the first operation of the last request, … */
    int64_t sent;   /* … how much of that was sent at most, by any try … */
    size_t n;       /* … and how many operations are in it */
    struct set_aside aside;
    bool local; /* this mirror's own disk failed */
    bool ours;  /* the answer is eefs-master's */
};

struct push *push_new(struct mirror *m)
{
    struct push *p = xcalloc(1, sizeof(*p));

    p->m = m;
    p->ops = xcalloc(BATCH_OPS, sizeof(*p->ops));
    p->ends = xcalloc(BATCH_OPS, sizeof(*p->ends));
    set_aside_init(&p->aside, m);
    worker_init(&p->worker);
    return p;
}

void push_free(struct push *p)
{
    if (!p)
        return;
    worker_release(&p->worker);
    free(p->ops);
    free(p->ends);
    free(p);
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

    a.code = xstrdup(WIRE_R_CONTENT);
    a.error = xstrdup("its content is missing or damaged in this mirror's cache");
    log_error("cannot send the change of '%s': %s; see eefs-status --quarantine", path, a.error);
    r = replica_outbox_answers(p->m->replica, &a, 1, &changed);
    changes_changed(p->m->changes, &changed);
    op_answer_release(&a);
    free(path);
    return r;
}

/*
 * Makes the first operations ready to be sent: small contents read, large ones on the master. All
 * large ones of the batch are started; the batch ends before the first that is not there yet.
 */
static size_t prepare(struct push *p, size_t n, char *code, struct err *e)
{
    size_t i, ready = n, bytes = 0;

    for (i = 0; i < n; i++) {
        struct op *op = &p->ops[i];
        char said[UPLOAD_CODE_CAP] = "";
        struct err why = {0};
        int r = 0;

        if (op->kind != OP_PUT)
            continue;
        if (op->size > WIRE_INLINE_MAX) {
            enum upload_state s = upload_want(p->m->upload, &op->hash, op->size, op->n, said, &why);

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
            if (r != -EINPROGRESS && i == 0) {
                *e = why;
                snprintf(code, UPLOAD_CODE_CAP, "%s", *said ? said : "content");
            }
        }
    }
    return ready;
}

static void make_request(struct push *p, size_t n, struct buf *out)
{
    char *outbox = replica_outbox_id(p->m->replica);

    buf_printf(out, "{\"outbox\":\"%s\",\"ops\":[", outbox);
    for (size_t i = 0; i < n; i++) {
        json_t *v = op_to_json(&p->ops[i]);
        char *text = json_dumps(v, JSON_COMPACT);

        json_decref(v);
        buf_printf(out, "%s%s", i ? "," : "", text ? text : "{}");
        free(text);
        p->ends[i] = out->len;
    }
    buf_puts(out, "]}");
    free(outbox);
}

/* What was never sent before is progress for the operation that it belongs to, and for later ones.
 */
static void on_sent(void *arg, int64_t bytes)
{
    struct push *p = arg;
    size_t i = 0;

    if (bytes <= p->sent)
        return;
    p->sent = bytes;
    while (i + 1 < p->n && (int64_t)p->ends[i] < bytes)
        i++;
    wait_moved(p->m->wait, p->ops[i].n);
}

/* The answers in the reply's body, up to the first that cannot be understood, in *ret (the caller
 * releases them and frees it). Returns how many; e has the reason when they are fewer than n. */
static size_t parse_answers(const struct push *p, json_t *body, size_t n, struct op_answer **ret,
                            struct err *e)
{
    json_t *list = json_object_get(body, "answers"), *v;
    int64_t head = json_integer_value(json_object_get(body, "head"));
    size_t i;

    *ret = xcalloc(n, sizeof(**ret));
    if (body && !json_is_array(list))
        err_set(e, EPROTO, "the master's answer has no 'answers'");
    for (i = 0; i < n && (v = json_array_get(list, i)); i++) {
        struct op_answer *a = &(*ret)[i];

        if (op_answer_from_json(v, a, e) < 0)
            break;
        if (a->n != p->ops[i].n) {
            err_set(e, EPROTO, "the master answered operation %lld instead of %lld",
                    (long long)a->n, (long long)p->ops[i].n);
            op_answer_release(a);
            break;
        }
        for (size_t k = 0; head > 0 && k < a->n_entries; k++)
            if (a->entries[k].seq > head) /* it would never be replaced */
                a->entries[k].seq = head;
    }
    return i;
}

/* The operation is to be tried later. */
static int put_off(struct push *p, const struct op_answer *a, const struct op *op, char *code,
                   struct err *e)
{
    snprintf(code, UPLOAD_CODE_CAP, "%s", a->code ? a->code : "later");
    if (strcmp(code, WIRE_R_NEED_CONTENT) == 0)
        upload_forget(p->m->upload, &op->hash, op->n);
    return err_set(e, EAGAIN, "%s", a->error ? a->error : "the master asks to try later");
}

/* Applies the first of n answers. Returns how many operations are settled, 0 when the first is to be
 * tried later, or -errno. */
static int take_some(struct push *p, const struct op_answer *a, const struct op *ops, size_t n,
                     struct strlist *changed, struct err *e)
{
    int r;

    crash_point("push.answered");
    r = replica_outbox_answers(p->m->replica, a, n, changed);
    if (r < 0 && n > 1)
        r = replica_outbox_answers(p->m->replica, a, 1, changed);
    if (r == -ENOSPC)
        store_make_room(p->m->store, ROOM); /* it will be asked again, and answer the same */
    p->local = r < 0;
    if (r < 0)
        return err_sys(e, -r, "cannot record the master's answer in the cache");
    for (int i = 0; i < r; i++) {
        if (ops[i].kind == OP_PUT && a[i].result != RESULT_REFUSED)
            store_forget_path(p->m->store, &ops[i].hash);
        wait_moved(p->m->wait, ops[i].n);
    }
    return r;
}

/*
 * Returns the number of operations settled, or -errno when that is none: -EPROTO, the answer is not
 * to be understood; -EAGAIN, the first one is to be tried later, for the reason `code`.
 */
static int take_answers(struct push *p, const struct http_reply *reply, size_t n, char *code,
                        struct err *e)
{
    struct strlist changed = {NULL, 0};
    json_t *body = http_reply_json(reply, e);
    struct op_answer *answers;
    size_t settled = 0, given = parse_answers(p, body, n, &answers, e);
    int r = 1;

    while (r > 0 && settled < given) {
        r = take_some(p, &answers[settled], &p->ops[settled], given - settled, &changed, e);
        settled += r > 0 ? (size_t)r : 0;
    }
    if (r == 0)
        r = put_off(p, &answers[settled], &p->ops[settled], code, e);
    else if (r > 0 && settled == 0)
        r = e->code ? -e->code
                    : err_set(e, EPROTO, "the master answered none of %zu operations", n);
    for (size_t i = 0; i < given; i++)
        op_answer_release(&answers[i]);
    free(answers);
    json_decref(body);
    changes_changed(p->m->changes, &changed);
    set_aside_settled(&p->aside, p->ops, settled);
    return settled > 0 ? (int)settled : r;
}

static void refuse(struct push *p, const struct http_reply *reply, struct err *e)
{
    char action[FAULT_ACTION_CAP];

    snprintf(action, sizeof(action),
             "on the copy run 'eefs-status --renew %.150s': it keeps its changes and sends them as "
             "its own",
             p->m->cfg.mountpoint);
    if (strcmp(reply->code, WIRE_E_CLONED) == 0)
        fault_set(&p->m->faults, FAULT_CLONED,
                  "another machine uses a copy of this cache: the master refuses the changes of "
                  "this one",
                  action);
    err_set(e, EREMOTEIO, "the master refuses the changes: %s", reply->text);
}

/* The request failed as a whole, with r. What concerns all of them, or is no failure, is waited
 * for; else it may be one of them. */
static int blame(struct push *p, const struct http_reply *reply, size_t n, int r, struct err *e)
{
    bool all = r == -ECANCELED || r == -EACCES || r == -ECONNREFUSED || r == -EHOSTUNREACH ||
               (reply->status == 507 && p->ours) || strcmp(reply->code, WIRE_E_CLONED) == 0;
    const char *code = *reply->code ? reply->code : "foreign";
    bool lost = reply->status < 200 || reply->status >= 500 || !p->ours;
    int blamed;

    if (all)
        return r;
    blamed = set_aside_request_failed(&p->aside, &p->ops[0], n, lost, code, e->text);
    if (blamed < 0)
        return err_sys(e, -blamed, "cannot write to the queue of changes");
    return blamed ? 1 : r;
}

/*
 * As link_judge(). But something on the way that does not take it is no absence, nor is it one
 * when the same operation fails once more and hello has been answered between: the feed sees a real
 * one.
 */
static int judge(struct push *p, int r, const struct http_reply *reply, struct err *e)
{
    bool own = r == -EPROTO || set_aside_suspects(&p->aside, p->ops[0].n);

    if (r != -ECANCELED && own && (r < 0 || reply->status >= 500)) {
        if (r == 0)
            err_set(e, EREMOTEIO, "the master cannot answer now: %s", reply->text);
        return r < 0 ? r : -EREMOTEIO;
    }
    return link_judge(&p->m->link, r, reply, e);
}

static int send_ops(struct push *p, size_t n, struct err *e)
{
    struct buf body = BUF_INIT;
    struct http_request q = {.method = "POST",
                             .path = WIRE_OPS,
                             .type = "application/json",
                             .max_body = 64 * 1024 * 1024,
                             .cancel = &p->m->link.down,
                             .sent = on_sent,
                             .sent_arg = p};
    char code[UPLOAD_CODE_CAP] = "";
    struct http_reply reply;
    int r;

    make_request(p, n, &body);
    q.body = body.data;
    q.body_len = body.len;
    p->n = n;
    if (p->head != p->ops[0].n)
        p->sent = 0;
    p->head = p->ops[0].n;
    crash_point("push.send");
    r = http_run(p->m->http, &q, &reply, e);
    p->ours = r == 0;
    r = judge(p, r, &reply, e);
    buf_release(&body);
    if (r == 0 && reply.status != 200) {
        refuse(p, &reply, e);
        r = -EREMOTEIO;
    } else if (r == 0) {
        fault_set(&p->m->faults, FAULT_CLONED, "", "");
        r = take_answers(p, &reply, n, code, e);
    }
    if (r == -EAGAIN) {
        r = set_aside_failed(&p->aside, &p->ops[0], code, e->text);
        if (r < 0)
            err_sys(e, -r, "cannot write to the queue of changes");
        else if (r == 0)
            r = -EAGAIN;
    } else if (r < 0 && !p->local) {
        r = blame(p, &reply, n, r, e);
    }
    http_reply_release(&reply);
    wake_kick(&p->m->answers_wake);
    return r;
}

/* The first operation cannot even be sent. */
static int head_unready(struct push *p, const char *code, struct err *e)
{
    int r;

    if (e->code == ENOENT)
        r = give_up_content(p, &p->ops[0]) < 0 ? -EIO : 1;
    else
        r = set_aside_failed(&p->aside, &p->ops[0], code, e->text);
    if (r == 0)
        return -e->code;
    if (r < 0)
        return err_sys(e, -r, "cannot write to the queue of changes");
    wake_kick(&p->m->answers_wake);
    return 1;
}

/* One round. Returns > 0: go on at once; 0: nothing to do now; < 0: back off, e has the reason. */
static int push_round(struct push *p, struct err *e)
{
    int taken = replica_outbox_take(p->m->replica, 0, p->aside.limit, p->ops), r = 0;
    char code[UPLOAD_CODE_CAP] = "";
    size_t i, n;

    if (taken < 0)
        return err_sys(e, -taken, "cannot read the queue of changes");
    if (taken == 0)
        return 0;
    p->local = false;
    n = prepare(p, (size_t)taken, code, e);
    if (n == 0 && e->code) {
        r = head_unready(p, code, e);
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
    for (i = 0; i < (size_t)taken; i++)
        op_release(&p->ops[i]);
    return r;
}

static void set_reason(struct push *p, const char *why)
{
    if (wake_set_reason(&p->m->outbox_wake, why))
        log_warn("changes of this mirror wait: %s", why);
}

static int64_t idle_ms(const struct push *p)
{
    int64_t left = p->aside.due ? p->aside.due - clock_mono_ms() : IDLE_MS;

    return left < 0 ? 0 : left < IDLE_MS ? left : IDLE_MS;
}

static void *push_main(void *arg)
{
    struct push *p = arg;
    int64_t backoff = 0;
    bool now = false; /* try at once what is aside */

    while (!mirror_stopping(p->m)) {
        struct err e = {0};
        int r;

        if (!link_is_up(&p->m->link)) {
            wake_kick(&p->m->answers_wake);
            link_wait_up(&p->m->link, clock_mono_ms() + 1000);
            continue;
        }
        r = set_aside_retry(&p->aside, now);
        now = false;
        r = r < 0 ? err_sys(&e, -r, "cannot write to the queue of changes") : push_round(p, &e);
        if (r >= 0) {
            backoff = 0;
            set_reason(p, "");
            if (r == 0)
                now = wake_wait(&p->m->outbox_wake, clock_mono_ms() + idle_ms(p), true);
            continue;
        }
        if (r == -ECANCELED || !link_is_up(&p->m->link))
            continue;
        if (!set_aside_again(&p->aside)) /* that is known */
            set_reason(p, e.text);
        backoff = backoff ? backoff * 2 : 250;
        if (backoff > BACKOFF_MAX)
            backoff = BACKOFF_MAX;
        now = wake_wait(&p->m->outbox_wake, clock_mono_ms() + backoff, false);
    }
    return NULL;
}

int push_start(struct push *p)
{
    return worker_start(&p->worker, "push", push_main, p);
}

void push_stop(struct push *p)
{
    wake_end(&p->m->outbox_wake);
    worker_stop(&p->worker);
}
