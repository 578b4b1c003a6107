/* SPDX-License-Identifier: MIT */
/*
 * Fillers, one thread and connection each, take tables from one queue, the largest first:
 *
 *     queue of steps ──> filler: CREATE TABLE ─> rows, range by range ─> keys ─> next table
 *                                                 │
 *                          read and check a range (table_rows.h) ─> send a statement
 *                                        ─> note its rows while the server works ─> await
 *
 * Rows go under the range's send_id, a table and its keys under the object's vars_id.
 * A filler commits every 16 MB. The secondary keys of a table of 1 to 512 MB are made after its
 * rows, which is faster than row by row; a larger table could fill the server's tmpdir. The first
 * failure stops all fillers, and is the result.
 */
#include "sqlimport/apply/stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/deferred_keys.h"
#include "sqlimport/apply/move_record.h"
#include "sqlimport/sql/rows.h"
#include "sqlimport/compare/table_rows.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/thread.h"

#define CONNECTIONS_MAX 16
#define COMMIT_BYTES    ((size_t)16 << 20) /* a disk sync each is enough */
/* The bytes of rows from which on a table's keys are made after them, and up to which the server's
 * tmpdir can be expected to hold the keys while they are sorted. */
#define KEYS_LATER_MIN ((uint64_t)1 << 20)
#define KEYS_LATER_MAX ((uint64_t)512 << 20)
#define KEYS_PART      8 /* of such a table's bytes, shown as progress when its keys are made */

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

int stage_make(struct server *s, const char *schema, struct err *e)
{
    char *name = server_name(schema), *text = server_text(schema), *there = NULL;
    int r = server_value(s, &there, e,
                         "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME=%s", text);

    if (r == 0 && !there)
        r = server_runf(s, e, "CREATE DATABASE IF NOT EXISTS %s", name);
    if (r == -EACCES)
        err_prefix(e, "grant CREATE on it, or create it by hand");
    if (r < 0)
        err_prefix(e, "cannot prepare the schema '%s'", schema);
    free(there);
    free(name);
    free(text);
    return r;
}

int stage_empty(struct server *s, const char *schema, struct err *e)
{
    char *name = server_name(schema), *text = server_text(schema);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = move_record_exists(schema, s, e);

    if (r == 1) /* a staged table may be the only copy */
        r = err_set(e, EAGAIN, "it holds tables of an interrupted import that is not settled yet");
    if (r == 0)
        r = server_query(s, &res, e,
                         "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES "
                         "WHERE TABLE_SCHEMA=%s AND TABLE_NAME NOT LIKE '\\_eefs\\_%%'",
                         text);
    while (r == 0 && (row = mysql_fetch_row(res))) {
        char *table = server_name(row[0]);
        r = server_runf(s, e, "DROP %s IF EXISTS %s.%s",
                        strcmp(row[1], "SEQUENCE") == 0 ? "SEQUENCE"
                        : strcmp(row[1], "VIEW") == 0   ? "VIEW"
                                                        : "TABLE",
                        name, table);
        free(table);
    }
    if (res)
        mysql_free_result(res);
    free(name);
    free(text);
    if (r < 0)
        err_prefix(e, "cannot empty the schema '%s'", schema);
    return r;
}

static void set_fault(struct dump_fault *f, const struct object *o, off_t offset, uint64_t line)
{
    snprintf(f->table, sizeof(f->table), "%s", o->name);
    f->offset = offset;
    f->line = line;
}

/* Sends an INSERT that is larger than the server accepts in parts, cut between rows; n rows of the
 * table came before. */
static int run_split(struct server *s, const char *text, size_t len, struct token_mode mode,
                     uint64_t n, struct err *e)
{
    size_t max = (size_t)s->packet_max - SERVER_PACKET_RESERVE, head;
    const char *p, *end = text + len;
    struct buf part = BUF_INIT;
    struct lexer l;
    struct token t;
    struct row row = {NULL, 0};
    int r;

    lexer_init(&l, text, len, mode);
    lexer_next(&l, &t);
    (void)rows_begin(&l, &t);
    r = rows_find(&l, e);
    p = l.p;
    head = (size_t)(p - text);
    buf_append(&part, text, head);
    while (r == 0 && rows_next(&p, end, mode, row.p == NULL, true, &row) == ROWS_ROW) {
        n++;
        if (part.len > head && part.len + row.len + 1 > max) {
            r = server_run(s, part.data, part.len, e);
            part.len = head;
        }
        if (head + row.len > max)
            r = err_set(e, EREMOTEIO,
                        "its row %llu of %zu bytes is larger than the server accepts: set "
                        "max_allowed_packet to at least %zu on the server",
                        (unsigned long long)n, row.len, row.len + head + SERVER_PACKET_RESERVE);
        if (part.len > head)
            buf_putc(&part, ',');
        buf_append(&part, row.p, row.len);
    }
    if (r == 0 && part.len > head)
        r = server_run(s, part.data, part.len, e);
    buf_release(&part);
    return r;
}

/* One filler, at one table. */
struct filler {
    struct work *w;
    struct server *s;
    const struct step *st;
    struct table_rows *table_rows;
    struct buf create, keys; /* of the table; no keys: they are in `create` */
    uint64_t rows;           /* of the table, sent */
    uint64_t shown;          /* of its bytes, as progress */
    size_t uncommitted;      /* bytes */
    struct dump_fault fault;
    struct err e;
};

static int commit(struct filler *f)
{
    f->uncommitted = 0;
    return server_run(f->s, "COMMIT", 6, &f->e); /* under whatever settings */
}

/* The rows are noted while the server works. */
static int fill_statement(struct filler *f, const struct statement *st, struct token_mode mode)
{
    bool whole = st->len + SERVER_PACKET_RESERVE <= f->s->packet_max;
    int r = whole ? server_send(f->s, st->text, st->len, &f->e)
                  : run_split(f->s, st->text, st->len, mode, f->rows, &f->e);

    if (r == 0) {
        table_rows_note(f->table_rows);
        r = whole ? server_await(f->s, &f->e) : 0;
    }
    f->rows += (uint64_t)st->rows;
    return r;
}

static void add_progress(struct filler *f, uint64_t rows, uint64_t bytes)
{
    f->shown += bytes;
    report_progress_add(f->w->a->report, rows, bytes);
}

/* Sends the range that table_rows_load() brought into memory. */
static int fill_range(struct filler *f, const struct range *g)
{
    const struct session_vars *vars = f->w->a->plan->dump->vars;
    struct statement st = {0};
    bool more = table_rows_statement(f->table_rows, &st);
    int r = server_set_vars(f->s, vars, g->send_id, &f->e);

    if (r == 0)
        r = disk_space_check(f->w->a->disk_space, g->len, &f->e);
    while (r == 0 && more) {
        r = fill_statement(f, &st, session_vars_mode_of(vars, g->vars_id));
        more = r == 0 && table_rows_statement(f->table_rows, &st);
    }
    if (r == 0 && (f->uncommitted += g->len) >= COMMIT_BYTES)
        r = commit(f);
    if (r == 0)
        add_progress(f, g->rows, f->keys.len ? g->len - g->len / KEYS_PART : g->len);
    else
        set_fault(&f->fault, f->st->o, st.offset, st.line);
    return r;
}

static int fill_rows(struct filler *f)
{
    const struct range *g = f->st->o->ranges;
    int r;

    while ((r = table_rows_load(f->table_rows, &f->e)) == 1) {
        r = *f->w->a->stop ? err_set(&f->e, EINTR, "stopped") : fill_range(f, g++);
        if (r < 0)
            break;
        crash_point("import.staging");
    }
    return r < 0 ? r : commit(f);
}

/* --- keys after the rows --- */

/* A foreign key of another table needs a key of this one. */
static bool is_parent(const struct dump *d, const char *name)
{
    for (size_t i = 0; i < d->n; i++) {
        const struct strlist *parents = &d->objects[i]->parents;
        for (size_t k = 0; k < parents->n; k++)
            if (strcasecmp(parents->v[k], name) == 0)
                return true;
    }
    return false;
}

static void read_create(struct filler *f)
{
    const struct dump *d = f->w->a->plan->dump;
    const struct object *o = f->st->o;

    buf_clear(&f->create);
    buf_clear(&f->keys);
    if (o->kind == OBJECT_TABLE && o->bytes >= KEYS_LATER_MIN && o->bytes <= KEYS_LATER_MAX &&
        !is_parent(d, o->name) &&
        deferred_keys_cut(o->ddl, o->ddl_len, session_vars_mode_of(d->vars, o->vars_id), &f->create,
                          &f->keys))
        return;
    buf_clear(&f->create);
    buf_clear(&f->keys);
    buf_append(&f->create, o->ddl, o->ddl_len);
}

/* Where tmpdir is too small to sort the keys, a copy of the table gets them row by row. */
static int add_keys(struct filler *f)
{
    const struct object *o = f->st->o;
    int r = server_set_vars(f->s, f->w->a->plan->dump->vars, o->vars_id, &f->e);

    if (r == 0)
        r = disk_space_check(f->w->a->disk_space, o->bytes, &f->e);
    if (r == 0)
        r = server_run(f->s, f->keys.data, f->keys.len, &f->e);
    if (r == -ENOSPC && disk_space_check(f->w->a->disk_space, o->bytes, &f->e) == 0) {
        buf_puts(&f->keys, ", ALGORITHM=COPY");
        r = server_run(f->s, f->keys.data, f->keys.len, &f->e);
    }
    if (r < 0)
        set_fault(&f->fault, o, o->offset, o->line);
    else
        add_progress(f, 0, o->bytes - f->shown);
    return r;
}

static int fill_table(struct filler *f)
{
    const struct object *o = f->st->o;
    const struct stage_args *a = f->w->a;
    int r = server_set_vars(f->s, a->plan->dump->vars, o->vars_id, &f->e);

    f->rows = f->shown = 0;
    read_create(f);
    f->table_rows = table_rows_open(a->fd, a->plan->dump, o, &f->st->def, a->row_cache_dir);
    if (r == 0)
        r = server_run(f->s, f->create.data, f->create.len, &f->e);
    if (r < 0)
        set_fault(&f->fault, o, o->offset, o->line);
    if (r == 0)
        r = fill_rows(f);
    if (r == 0 && f->keys.len > 0) {
        crash_point("import.keys");
        r = add_keys(f);
    }
    table_rows_close(f->table_rows);
    if (r < 0)
        err_prefix(&f->e, "cannot fill table '%.64s'", f->st->name);
    return r;
}

static const struct step *take(struct work *w)
{
    const struct step *st = NULL;

    mutex_lock(&w->lock);
    if (w->result == 0 && w->next < w->n)
        st = w->queue[w->next++];
    mutex_unlock(&w->lock);
    return st;
}

static void *filler_run(void *arg)
{
    struct filler f = {.w = arg};
    struct work *w = arg;
    char *schema = server_name(w->a->schema);
    int r;

    mysql_thread_init();
    r = server_open(w->a->defaults_file, &f.s, &f.e);
    if (r == 0)
        r = server_runf(f.s, &f.e, "USE %s", schema);
    /* With unique_checks off, MariaDB would collect the rows of a transaction and sort them. */
    if (r == 0)
        r = server_runf(f.s, &f.e, "SET SESSION autocommit=0, unique_checks=1");
    while (r == 0 && (f.st = take(w)))
        r = fill_table(&f);
    mutex_lock(&w->lock);
    if (r < 0 && w->result == 0) {
        w->result = r;
        w->err = f.e;
        w->fault = f.fault;
        w->code = f.s ? f.s->code : 0;
    }
    mutex_unlock(&w->lock);
    if (r < 0 && r != -ENOTCONN && f.s) /* or its tables could not be dropped yet */
        (void)server_runf(f.s, NULL, "ROLLBACK");
    server_close(f.s);
    buf_release(&f.create);
    buf_release(&f.keys);
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
        if (step_is_swap(&a->plan->steps[i]))
            w.queue[w.n++] = &a->plan->steps[i];
    qsort(w.queue, w.n, sizeof(*w.queue), larger_first);
    if (want > CONNECTIONS_MAX)
        want = CONNECTIONS_MAX;
    if ((size_t)want > w.n)
        want = (int)w.n;
    while (n < want && thread_start(&threads[n], "filler", filler_run, &w) == 0)
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
