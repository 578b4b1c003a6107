/* SPDX-License-Identifier: MIT */
#include "sqlimport/stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/rows.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"

#define CONNECTIONS_MAX 16
#define PACKET_RESERVE  1024 /* what the protocol adds to a statement, with room to spare */

struct work {
    const struct stage_args *a;
    pthread_mutex_t lock; /* guards all below */
    const struct step **queue;
    size_t n, next;
    int result;
    unsigned code;
    struct err err;
    struct dump_fault fault;
};

int stage_empty(struct server *s, const char *schema, struct err *e)
{
    char *name = server_name(schema), *text = server_text(schema);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_runf(s, e, "CREATE DATABASE IF NOT EXISTS %s", name);

    if (r == -EACCES) { /* made beforehand by the administrator? */
        char *there = NULL;
        int r2 = server_value(s, &there, NULL,
                              "SELECT 1 FROM information_schema.SCHEMATA WHERE "
                              "SCHEMA_NAME=%s",
                              text);
        if (r2 == 0 && there)
            r = 0;
        free(there);
    }
    if (r == 0)
        r = server_query(s, &res, e,
                         "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES "
                         "WHERE TABLE_SCHEMA=%s AND TABLE_NAME<>'_eefs_state'",
                         text);
    while (r == 0 && (row = mysql_fetch_row(res))) {
        char *table = server_name(row[0]);
        r = server_runf(s, e, "DROP %s IF EXISTS %s.%s",
                        strcmp(row[1], "SEQUENCE") == 0 ? "SEQUENCE" : "TABLE", name, table);
        free(table);
    }
    if (res)
        mysql_free_result(res);
    free(name);
    free(text);
    if (r < 0)
        err_prefix(e, "cannot prepare the schema '%s'", schema);
    return r;
}

static void set_fault(struct dump_fault *f, const struct object *o, off_t offset, uint64_t line,
                      const char *text, size_t len)
{
    snprintf(f->table, sizeof(f->table), "%s", o->name);
    f->offset = offset;
    f->line = line;
    dump_excerpt(f->excerpt, sizeof(f->excerpt), text, len);
}

/* Sends an INSERT that is larger than the server takes in parts, cut between rows. */
static int run_split(struct server *s, const char *text, size_t len, struct token_mode mode,
                     struct err *e)
{
    size_t max = (size_t)s->packet_max - PACKET_RESERVE, head;
    const char *p, *end = text + len;
    struct buf part = BUF_INIT;
    struct lexer l;
    struct token t;
    struct row row = {NULL, 0};
    int r;

    lexer_init(&l, text, len, mode);
    do /* INSERT IGNORE INTO t: the name is what stands behind INTO */
        lexer_next(&l, &t);
    while (t.type != TOKEN_END && !token_is(&t, "INTO"));
    lexer_next(&l, &t);
    r = rows_find(&l, e);
    p = l.p;
    head = (size_t)(p - text);
    buf_append(&part, text, head);
    while (r == 0 && rows_next(&p, end, mode, row.p == NULL, true, &row) == ROWS_ROW) {
        if (part.len > head && part.len + row.len + 1 > max) {
            r = server_run(s, part.data, part.len, e);
            part.len = head;
        }
        if (head + row.len > max)
            r = err_set(e, EREMOTEIO,
                        "a single row of %zu bytes is larger than the server takes: "
                        "set max_allowed_packet to at least %zu",
                        row.len, row.len + head + PACKET_RESERVE);
        if (part.len > head)
            buf_putc(&part, ',');
        buf_append(&part, row.p, row.len);
    }
    if (r == 0 && part.len > head)
        r = server_run(s, part.data, part.len, e);
    buf_release(&part);
    return r;
}

static int fill_range(struct work *w, struct server *s, const struct object *o,
                      const struct range *g, struct buf *b, struct rowhash *hs,
                      struct dump_fault *fault, struct err *e)
{
    const struct env *env = w->a->plan->dump->env;
    ssize_t got;
    int r;

    buf_clear(b);
    buf_reserve(b, g->len);
    got = file_pread(w->a->fd, b->data, g->len, g->offset);
    if (got < 0)
        return err_sys(e, (int)-got, "cannot read the dump");
    if ((size_t)got != g->len)
        return err_set(e, ESTALE, "the dump became shorter while it was imported");
    rowhash_add(hs, env, g->env, b->data, g->len);
    r = server_env(s, env, g->env, e);
    if (r == 0)
        r = g->len + PACKET_RESERVE > s->packet_max
                ? run_split(s, b->data, g->len, env_mode_of(env, g->env), e)
                : server_run(s, b->data, g->len, e);
    if (r < 0)
        set_fault(fault, o, g->offset, g->line, b->data, g->len);
    else
        state_progress_add(w->a->state, g->rows, g->len);
    return r;
}

static int fill_table(struct work *w, struct server *s, const struct object *o, struct buf *b,
                      struct dump_fault *fault, struct err *e)
{
    struct rowhash *hs = rowhash_new(&w->a->plan->dump->secret);
    int r = server_env(s, w->a->plan->dump->env, o->env, e);

    if (r == 0)
        r = server_run(s, o->ddl, o->ddl_len, e);
    if (r < 0)
        set_fault(fault, o, 0, o->line, o->ddl, o->ddl_len);
    for (size_t i = 0; i < o->n_ranges && r == 0; i++) {
        if (*w->a->stop)
            r = err_set(e, EINTR, "stopped");
        else
            r = fill_range(w, s, o, &o->ranges[i], b, hs, fault, e);
        if (i == 0)
            crash_point("import.staging");
    }
    if (r == 0) {
        struct hash got;
        rowhash_end(hs, &got);
        if (!hash_eq(&got, &o->rows_hash))
            r = err_set(e, ESTALE, "the dump changed while it was imported");
    }
    rowhash_free(hs);
    return r;
}

static void *worker(void *arg)
{
    struct work *w = arg;
    struct server *s = NULL;
    struct buf b = BUF_INIT;
    struct err e = {0};
    struct dump_fault fault = {0};
    char *schema = server_name(w->a->schema);
    int r;

    mysql_thread_init();
    r = server_open(w->a->defaults_file, &s, &e);
    if (r == 0)
        r = server_runf(s, &e, "USE %s", schema);
    while (r == 0) {
        const struct step *st = NULL;
        mutex_lock(&w->lock);
        if (w->result == 0 && w->next < w->n)
            st = w->queue[w->next++];
        mutex_unlock(&w->lock);
        if (!st)
            break;
        r = fill_table(w, s, st->o, &b, &fault, &e);
        if (r < 0)
            err_prefix(&e, "cannot fill table '%.64s'", st->o->name);
    }
    mutex_lock(&w->lock);
    if (r < 0 && w->result == 0) {
        w->result = r;
        w->err = e;
        w->fault = fault;
        w->code = s ? s->code : 0;
    }
    mutex_unlock(&w->lock);
    server_close(s);
    buf_release(&b);
    free(schema);
    mysql_thread_end();
    return NULL;
}

static int larger_first(const void *a, const void *b)
{
    const struct step *const *x = a, *const *y = b;

    return (*x)->o->bytes < (*y)->o->bytes ? 1 : (*x)->o->bytes > (*y)->o->bytes ? -1 : 0;
}

int stage_run(const struct stage_args *a, struct dump_fault *fault, unsigned *code, struct err *e)
{
    struct work w = {.a = a};
    pthread_t threads[CONNECTIONS_MAX];
    int n = 0, want = a->connections;

    mutex_init(&w.lock);
    w.queue = xcalloc(a->plan->n + 1, sizeof(*w.queue));
    for (size_t i = 0; i < a->plan->n; i++)
        if (a->plan->steps[i].action == ACTION_SWAP || a->plan->steps[i].action == ACTION_NEW)
            w.queue[w.n++] = &a->plan->steps[i];
    qsort(w.queue, w.n, sizeof(*w.queue), larger_first);
    if (want > CONNECTIONS_MAX)
        want = CONNECTIONS_MAX;
    if ((size_t)want > w.n)
        want = (int)w.n;
    while (n < want && thread_start(&threads[n], "stage", worker, &w) == 0)
        n++;
    if (n == 0 && want > 0)
        w.result = err_set(&w.err, EAGAIN, "cannot start a thread");
    for (int i = 0; i < n; i++)
        thread_join(threads[i]);
    free(w.queue);
    mutex_destroy(&w.lock);
    if (w.result < 0) {
        *fault = w.fault;
        *code = w.code;
        if (e)
            *e = w.err;
    }
    return w.result;
}
