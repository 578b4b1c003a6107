/* SPDX-License-Identifier: MIT */
/*
 * Lines that were read are kept by key until they are restored or found in the database; lines that
 * are written come from the rows themselves after each commit, so a line holds the present state,
 * not a step.
 */
#include "sync/mirror/replica/unsent_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <jansson.h>

#include "sync/common/buf.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"
#include "sync/proto/json.h"

#define FILE_MAX   ((size_t)1 << 30)
#define SUM_DIGITS 16
#define ANEW_MIN   (1 << 20) /* bytes that are appended before it is rewritten, at least */

/* One thing that was read. */
struct record {
    char *key;    /* "<20 digits of n>" or "local:PATH" */
    json_t *line; /* the last one of this key */
};

struct unsent {
    char *path, *outbox;
    int64_t next, damaged;
    struct record *v; /* by key, until it was put back */
    size_t n, cap;

    struct replica *r;
    int fd;                 /* -1: to be written anew */
    int64_t size, written;  /* bytes now, and when it was last rewritten */
    struct touched touched; /* by the transaction */
    char master[64];        /* as in the last header */
};

/* --- lines --- */

static void add_line(struct buf *b, json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
    struct buf hex = BUF_INIT;
    struct hash h;

    if (text) {
        hash_bytes(text, strlen(text), &h);
        hex_encode(&hex, h.b, SUM_DIGITS / 2);
        buf_printf(b, "%s %s\n", hex.data, text);
    }
    buf_release(&hex);
    free(text);
    json_decref(o);
}

static json_t *parse_line(const char *line, size_t len)
{
    struct buf hex = BUF_INIT;
    struct hash h;
    json_t *o = NULL;

    if (len <= SUM_DIGITS + 1)
        return NULL;
    hash_bytes(line + SUM_DIGITS + 1, len - SUM_DIGITS - 1, &h);
    hex_encode(&hex, h.b, SUM_DIGITS / 2);
    if (memcmp(hex.data, line, SUM_DIGITS) == 0)
        o = json_loadb(line + SUM_DIGITS + 1, len - SUM_DIGITS - 1, 0, NULL);
    buf_release(&hex);
    return o;
}

/* --- reading --- */

static struct record *find(struct unsent *u, const char *key, bool make)
{
    size_t low = 0, high = u->n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = strcmp(u->v[mid].key, key);

        if (c == 0)
            return &u->v[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (!make)
        return NULL;
    if (u->n == u->cap) {
        u->cap = u->cap ? u->cap * 2 : 64;
        u->v = xrealloc(u->v, u->cap * sizeof(*u->v));
    }
    memmove(&u->v[low + 1], &u->v[low], (u->n - low) * sizeof(*u->v));
    u->v[low] = (struct record){.key = xstrdup(key)};
    u->n++;
    return &u->v[low];
}

static void take(struct unsent *u, const char *key, json_t *line)
{
    struct record *r = find(u, key, line != NULL);

    if (!r)
        return;
    json_decref(r->line);
    r->line = json_incref(line);
}

static void take_number(struct unsent *u, int64_t n, json_t *line)
{
    char key[32];

    snprintf(key, sizeof(key), "%020lld", (long long)n);
    take(u, key, line);
    if (n >= u->next)
        u->next = n + 1;
}

static void take_line(struct unsent *u, json_t *o)
{
    const char *outbox = json_string_value(json_object_get(o, "outbox"));
    const char *local = json_string_value(json_object_get(o, "local"));
    const char *gone = json_string_value(json_object_get(o, "local_gone"));
    json_t *op = json_object_get(o, "op"), *n = json_object_get(o, "gone");

    if (outbox) {
        free(u->outbox);
        u->outbox = xstrdup(outbox);
        if (json_integer_value(json_object_get(o, "next")) > u->next)
            u->next = json_integer_value(json_object_get(o, "next"));
    } else if (op) {
        take_number(u, json_integer_value(json_object_get(op, "n")), o);
    } else if (n) {
        take_number(u, json_integer_value(n), NULL);
    } else if (local || gone) {
        char *key = xasprintf("local:%s", local ? local : gone);

        take(u, key, local ? o : NULL);
        free(key);
    }
}

struct unsent *unsent_open(const char *cache)
{
    struct unsent *u = xcalloc(1, sizeof(*u));
    struct buf b = BUF_INIT;
    char *at, *end;

    u->path = xasprintf("%s/unsent.log", cache);
    u->outbox = xstrdup("");
    u->fd = -1;
    u->next = 1;
    if (file_slurp(AT_FDCWD, u->path, FILE_MAX, &b) < 0)
        buf_clear(&b);
    for (at = b.data; at && (size_t)(at - b.data) < b.len; at = end + 1) {
        json_t *o;

        end = memchr(at, '\n', b.len - (size_t)(at - b.data));
        if (!end) { /* cut short by a kill or a full disk */
            u->damaged++;
            break;
        }
        if (end == at)
            continue;
        o = parse_line(at, (size_t)(end - at));
        if (o)
            take_line(u, o);
        else
            u->damaged++;
        json_decref(o);
    }
    buf_release(&b);
    return u;
}

static void forget_read(struct unsent *u)
{
    for (size_t i = 0; i < u->n; i++) {
        free(u->v[i].key);
        json_decref(u->v[i].line);
    }
    free(u->v);
    u->v = NULL;
    u->n = u->cap = 0;
}

void unsent_close(struct unsent *u)
{
    if (!u)
        return;
    forget_read(u);
    touched_release(&u->touched);
    if (u->fd >= 0)
        close(u->fd);
    free(u->outbox);
    free(u->path);
    free(u);
}

const char *unsent_outbox(const struct unsent *u)
{
    return u->outbox;
}

int64_t unsent_next(const struct unsent *u)
{
    return u->next;
}

int64_t unsent_damaged(const struct unsent *u)
{
    return u->damaged;
}

/* --- writing --- */

static json_t *header(struct unsent *u)
{
    char *id = meta_get(u->r->db, "outbox_id"), *master = meta_get(u->r->db, "master_id");
    json_t *o = json_pack("{s:s,s:s,s:I}", "outbox", id, "master", master, "next",
                          (json_int_t)u->r->now.next_opid);

    snprintf(u->master, sizeof(u->master), "%s", master);
    free(master);
    free(id);
    return o;
}

#define COLS OUTBOX_COLS ",coalesce(code,''),coalesce(error,''),created"

static json_t *op_line(sqlite3_stmt *st)
{
    struct outbox_row o;
    char state[2] = "";
    json_t *line, *op;

    if (outbox_read(st, &o) < 0)
        return NULL;
    state[0] = o.state;
    op = op_to_json(&o.op);
    line = json_pack("{s:o,s:s,s:s,s:s,s:I}", "op", op, "state", state, "code", db_col_text(st, 12),
                     "error", db_col_text(st, 13), "created",
                     (json_int_t)sqlite3_column_int64(st, 14));
    outbox_row_release(&o);
    return line;
}

static json_t *local_line(const char *path, const struct row *row)
{
    json_t *o = json_pack("{s:i,s:I,s:I,s:I}", "type", row->type, "size", (json_int_t)row->size,
                          "mtime", (json_int_t)row->mtime, "mode", (json_int_t)row->mode);

    json_set_path(o, "local", path);
    json_object_set_new(o, "atime", json_integer(row->atime));
    json_object_set_new(o, "ctime", json_integer(row->ctime));
    if (!hash_is_none(&row->hash))
        json_set_hash(o, "hash", &row->hash);
    if (row->target)
        json_set_path(o, "target", row->target);
    return o;
}

static void add_op(struct unsent *u, struct buf *b, int64_t n)
{
    sqlite3_stmt *st =
        db_query(u->r->db, "SELECT " COLS " FROM outbox WHERE opid=? AND state<>'o'", "i", n);
    int rc = db_step(u->r->db, st);
    json_t *line = rc == 1   ? op_line(st)
                   : rc == 0 ? json_pack("{s:I}", "gone", (json_int_t)n)
                             : NULL;

    db_done(st);
    if (line) /* of what cannot be read the last line stays */
        add_line(b, line);
}

static int add_local(struct unsent *u, struct buf *b, const char *path)
{
    struct row row;
    json_t *o = NULL;
    int rc = overlay_get(u->r->db, path, REPLICA_LOCAL, &row);

    if (rc == 0 && !row.exists) {
        o = json_object();
        json_set_path(o, "local_gone", path);
    } else if (rc == 0) {
        o = local_line(path, &row);
    }
    row_release(&row);
    if (o) /* as in add_op() */
        add_line(b, o);
    return rc;
}

/* All there is, in place of what the file has; when it cannot all be read, the file stays. */
static int write_anew(struct unsent *u)
{
    struct db *db = u->r->db;
    struct strlist locals = {NULL, 0};
    struct buf b = BUF_INIT;
    sqlite3_stmt *st;
    int rc;

    add_line(&b, header(u));
    st = db_query(db, "SELECT " COLS " FROM outbox WHERE state<>'o' ORDER BY opid", "");
    while ((rc = db_step(db, st)) == 1) {
        json_t *line = op_line(st);
        if (line)
            add_line(&b, line);
        else
            rc = -EUCLEAN;
        if (rc < 0)
            break;
    }
    db_done(st);
    if (rc < 0)
        goto out;
    st = db_query(db,
                  "SELECT CASE WHEN length(dir)=0 THEN name ELSE CAST(dir||'/'||name AS BLOB) END"
                  " FROM overlay WHERE opid=?",
                  "i", REPLICA_LOCAL);
    while ((rc = db_step(db, st)) == 1)
        strlist_add(&locals, db_col_text(st, 0));
    for (size_t i = 0; rc == 0 && i < locals.n; i++)
        rc = add_local(u, &b, locals.v[i]);
    if (rc < 0)
        goto out;
    rc = file_replace(AT_FDCWD, u->path, b.data, b.len, 0600, false);
    if (u->fd >= 0)
        close(u->fd);
    u->fd = rc < 0 ? -1 : open(u->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    u->size = u->written = (int64_t)b.len;
    rc = rc < 0 ? rc : u->fd < 0 ? -errno : 0;
out:
    strlist_release(&locals);
    buf_release(&b);
    return rc;
}

/* A descriptor or -errno. */
static int open_to_append(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), r;

    if (fd < 0)
        return -errno;
    r = file_write(fd, "\n", 1); /* the last line may be cut short */
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

int unsent_follow(struct unsent *u, struct replica *r, bool anew)
{
    u->r = r;
    touched_watch(&u->touched, r->db);
    if (anew)
        return unsent_anew(u);
    u->fd = open_to_append(u->path);
    return u->fd < 0 ? u->fd : 0;
}

/* Also when the record could not be rewritten: appended lines count. */
static void append(struct unsent *u, const struct buf *b)
{
    int r;

    if (u->fd < 0)
        u->fd = open_to_append(u->path);
    r = u->fd < 0 ? u->fd : file_write(u->fd, b->data, b->len);
    if (r == 0) {
        u->size += (int64_t)b->len;
    } else if (u->fd >= 0) { /* noted; written anew next time */
        close(u->fd);
        u->fd = -1;
    }
}

void unsent_committed(struct unsent *u, bool yes)
{
    struct buf b = BUF_INIT;

    if (u->r && yes &&
        (u->touched.n_ops > 0 || u->touched.locals.n > 0 ||
         strcmp(u->master, u->r->master_id) != 0)) {
        if (strcmp(u->master, u->r->master_id) != 0)
            add_line(&b, header(u));
        for (size_t i = 0; i < u->touched.n_ops; i++)
            add_op(u, &b, u->touched.ops[i]);
        for (size_t i = 0; i < u->touched.locals.n; i++)
            add_local(u, &b, u->touched.locals.v[i]);
        if (!(u->fd < 0 || (u->n == 0 && u->size > ANEW_MIN + 4 * u->written)) || write_anew(u) < 0)
            append(u, &b);
        buf_release(&b);
    }
    touched_clear(&u->touched);
}

int unsent_file(const struct unsent *u)
{
    return u->fd >= 0 ? fcntl(u->fd, F_DUPFD_CLOEXEC, 0) : -1;
}

/* --- for who puts back --- */

int unsent_each(struct unsent *u, unsent_fn *fn, void *arg)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < u->n; i++)
        if (u->v[i].line)
            rc = fn(arg, u->v[i].line, strncmp(u->v[i].key, "local:", 6) == 0);
    return rc;
}

int unsent_anew(struct unsent *u)
{
    forget_read(u);
    return write_anew(u);
}
