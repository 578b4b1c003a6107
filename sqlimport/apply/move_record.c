/* SPDX-License-Identifier: MIT */
/*
 * A row of the record is one move or one loan: its kind, and up to five values.
 *
 *     replace, new, drop, view | name, schema and name of its place, hash of the staged columns
 *     loan                     | table, temporary name, right name, what DROP calls it, clause
 */
#include "sqlimport/apply/move_record.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

#define TABLE  RECORD_TABLE
#define LOAN   "loan"
#define VALUES 5

static const char *const kinds[] = {
    [MOVE_REPLACE] = "replace", [MOVE_NEW] = "new", [MOVE_DROP] = "drop", [MOVE_VIEW] = "view"};

/* --- reading and writing --- */

static void put_row(struct buf *b, const char *token, const char *kind, const char *const *values)
{
    buf_printf(b, "%s('%s','%s'", b->len ? "," : "", token, kind);
    for (size_t i = 0; i < VALUES; i++) {
        char *text = values[i] ? server_text(values[i]) : xstrdup("NULL");
        buf_printf(b, ",%s", text);
        free(text);
    }
    buf_putc(b, ')');
}

static void put_rows(struct buf *b, const struct moves *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct move *v = &m->v[i];
        char hash[HASH_TEXT_CAP];
        const char *const values[VALUES] = {
            v->name, v->schema, v->place,
            hash_is_none(&v->columns) ? NULL : hash_text(&v->columns, hash)};
        put_row(b, m->token, kinds[v->kind], values);
    }
    for (size_t i = 0; i < m->n_loans; i++) {
        const struct loan *l = &m->loans[i];
        const char *const values[VALUES] = {l->table, l->temporary, l->name, l->drop, l->clause};
        put_row(b, m->token, LOAN, values);
    }
}

int move_record_write(const struct schemas *c, const struct moves *m, struct server *s,
                      struct err *e)
{
    char *stage = server_name(c->stage);
    struct buf rows = BUF_INIT, sql = BUF_INIT;
    int r = server_runf(s, e,
                        "CREATE TABLE %s." TABLE " (n INT AUTO_INCREMENT PRIMARY KEY, token "
                        "CHAR(32) NOT NULL, kind VARCHAR(16) NOT NULL, v1 TEXT, v2 TEXT, v3 TEXT, "
                        "v4 TEXT, v5 TEXT) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE "
                        "utf8mb4_bin",
                        stage);

    put_rows(&rows, m);
    buf_printf(&sql, "INSERT INTO %s." TABLE " (token, kind, v1, v2, v3, v4, v5) VALUES ", stage);
    buf_append(&sql, rows.data, rows.len);
    if (r == 0 && rows.len > 0)
        r = server_run(s, sql.data, sql.len, e);
    buf_release(&rows);
    buf_release(&sql);
    free(stage);
    return r;
}

static int has_table(struct server *s, const char *schema, const char *table, bool *ret,
                     struct err *e)
{
    char *text = server_text(schema), *there = NULL;
    int r = server_value(s, &there, e,
                         "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s AND "
                         "TABLE_NAME='%s'",
                         text, table);

    *ret = there != NULL;
    free(there);
    free(text);
    return r;
}

int move_record_exists(const char *stage, struct server *s, struct err *e)
{
    bool there = false;
    int r = has_table(s, stage, TABLE, &there, e);

    return r < 0 ? r : there;
}

static void add_row(struct moves *m, const MYSQL_ROW row)
{
    const char *const *v = (const char *const *)row + 2;
    struct move *move;

    snprintf(m->token, sizeof(m->token), "%s", row[0]);
    if (strcmp(row[1], LOAN) == 0) {
        const struct loan l = {
            .table = row[2], .temporary = row[3], .name = row[4], .drop = row[5], .clause = row[6]};
        if (v[0] && v[1] && v[2] && v[3] && v[4])
            moves_add_loan(m, &l);
        return;
    }
    for (enum move_kind k = MOVE_REPLACE; k <= MOVE_VIEW; k++)
        if (strcmp(row[1], kinds[k]) == 0 && v[0] && (k == MOVE_NEW || (v[1] && v[2]))) {
            move = moves_add(m, k, v[0], v[1], v[2]);
            if (v[3])
                (void)hash_parse(v[3], &move->columns);
        }
}

int move_record_read(const struct schemas *c, struct server *s, struct moves *ret, struct err *e)
{
    char *stage = server_name(c->stage);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = move_record_exists(c->stage, s, e);

    memset(ret, 0, sizeof(*ret));
    if (r == 1)
        r = server_query(s, &res, e,
                         "SELECT token, kind, v1, v2, v3, v4, v5 FROM %s." TABLE " ORDER BY n",
                         stage);
    free(stage);
    if (!res)
        return r;
    while ((row = mysql_fetch_row(res)))
        add_row(ret, row);
    mysql_free_result(res);
    return ret->n > 0;
}

int move_record_forget(const struct schemas *c, struct server *s, struct err *e)
{
    char *stage = server_name(c->stage);
    int r = move_record_exists(c->stage, s, e);

    if (r == 1)
        r = server_runf(s, e, "DROP TABLE IF EXISTS %s." TABLE, stage);
    free(stage);
    return r;
}

/* --- where tables lie --- */

void move_record_where(const struct schemas *c, const struct move *v, enum moves_where where,
                       const char **ret_schema, const char **ret_name)
{
    bool view = v->kind == MOVE_VIEW;

    *ret_schema = where == WHERE_PLACE            ? v->schema
                  : where == WHERE_STAGE && !view ? c->stage
                                                  : c->database;
    *ret_name = where == WHERE_PLACE           ? v->place
                : where == WHERE_STAGE && view ? RECORD_VIEW
                                               : v->name;
}

typedef int names_cmp(const char *a, const char *b);

/* How this server compares the names of tables. */
static int read_comparison(struct server *s, names_cmp **ret, struct err *e)
{
    char *fold = NULL;
    int r = server_value(s, &fold, e, "SELECT @@lower_case_table_names");

    *ret = fold && *fold != '0' ? strcasecmp : strcmp;
    free(fold);
    return r;
}

/* Each table of a schema with the hash of its columns' names and types, in the order of names. */
struct columns {
    struct {
        char *table;
        struct hash hash;
    } * v;
    size_t n;
};

static void columns_release(struct columns *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->v[i].table);
    free(c->v);
}

static int read_columns(struct server *s, const char *schema, struct columns *ret, struct err *e)
{
    char *text = server_text(schema);
    struct hash_stream *hs = hash_stream_new();
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_query(s, &res, e,
                         "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM "
                         "information_schema.COLUMNS WHERE TABLE_SCHEMA=%s ORDER BY TABLE_NAME, "
                         "ORDINAL_POSITION",
                         text);

    while (r == 0 && (row = mysql_fetch_row(res))) {
        if (ret->n == 0 || strcmp(ret->v[ret->n - 1].table, row[0]) != 0) {
            if (ret->n > 0)
                hash_stream_end(hs, &ret->v[ret->n - 1].hash);
            hash_stream_free(hs);
            hs = hash_stream_new();
            ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(*ret->v));
            ret->v[ret->n++].table = xstrdup(row[0]);
        }
        hash_stream_add(hs, row[1], strlen(row[1]) + 1);
        hash_stream_add(hs, row[2], strlen(row[2]) + 1);
    }
    if (ret->n > 0)
        hash_stream_end(hs, &ret->v[ret->n - 1].hash);
    hash_stream_free(hs);
    if (res)
        mysql_free_result(res);
    free(text);
    return r;
}

static const struct hash *find_columns(const struct columns *c, const char *table, names_cmp *cmp)
{
    for (size_t i = 0; i < c->n; i++)
        if (cmp(c->v[i].table, table) == 0)
            return &c->v[i].hash;
    return NULL;
}

int move_record_prove(const struct schemas *c, struct moves *m, struct server *s, struct err *e)
{
    struct columns staged = {NULL, 0}, live = {NULL, 0};
    names_cmp *cmp;
    int r = read_comparison(s, &cmp, e);

    if (r == 0)
        r = read_columns(s, c->stage, &staged, e);
    for (size_t i = 0; i < m->n && r == 0 && live.n == 0; i++)
        if (m->v[i].kind == MOVE_VIEW)
            r = read_columns(s, c->database, &live, e);
    for (size_t i = 0; i < m->n && r == 0; i++) {
        struct move *v = &m->v[i];
        const char *schema, *name;
        const struct hash *h;
        move_record_where(c, v, WHERE_STAGE, &schema, &name);
        h = find_columns(schema == c->stage ? &staged : &live, name, cmp);
        if (h && v->kind != MOVE_DROP)
            v->columns = *h;
    }
    columns_release(&staged);
    columns_release(&live);
    return r;
}

static void look_for(const struct schemas *c, struct moves *m, const char *schema, const char *name,
                     names_cmp *cmp)
{
    for (size_t i = 0; i < m->n; i++) {
        struct move *v = &m->v[i];
        bool *const there[] = {
            [WHERE_LIVE] = &v->live, [WHERE_STAGE] = &v->staged, [WHERE_PLACE] = &v->placed};
        for (int w = WHERE_LIVE; w <= (v->place ? WHERE_PLACE : WHERE_STAGE); w++) {
            const char *at, *as;
            move_record_where(c, v, (enum moves_where)w, &at, &as);
            *there[w] = *there[w] || (cmp(schema, at) == 0 && cmp(name, as) == 0);
        }
    }
}

static int look_at_columns(const struct schemas *c, struct moves *m, struct server *s,
                           names_cmp *cmp, struct err *e)
{
    struct columns live = {NULL, 0};
    int r = read_columns(s, c->database, &live, e);

    for (size_t i = 0; i < m->n && r == 0; i++) {
        const struct hash *h = find_columns(&live, m->v[i].name, cmp);
        m->v[i].proved = h && hash_eq(h, &m->v[i].columns);
    }
    columns_release(&live);
    return r;
}

/*
 * A server without atomic RENAME may die with a table's definition at one name and its rows at the
 * other: it lists the first, and cannot read it.
 */
static int look_into(const struct schemas *c, struct move *v, enum moves_where where,
                     struct server *s, struct err *e)
{
    const char *schema, *name;
    char *q, *n;
    int r;

    move_record_where(c, v, where, &schema, &name);
    q = server_name(schema);
    n = server_name(name);
    r = server_runf(s, e, "SELECT 1 FROM %s.%s LIMIT 0", q, n);
    free(q);
    free(n);
    if (r != -EREMOTEIO)
        return r;
    switch (s->code) {
    case ER_NO_SUCH_TABLE:
    case ER_FILE_NOT_FOUND:
    case ER_TABLESPACE_MISSING:
    case ER_TABLESPACE_DISCARDED:
    case ER_NO_SUCH_TABLE_IN_ENGINE:
        v->torn[where] = true;
        return 0;
    default: /* a view that does not fit any more is there all the same */
        return 0;
    }
}

static int look_into_all(const struct schemas *c, struct moves *m, struct server *s, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < m->n && r == 0; i++) {
        struct move *v = &m->v[i];
        bool *const there[] = {
            [WHERE_LIVE] = &v->live, [WHERE_STAGE] = &v->staged, [WHERE_PLACE] = &v->placed};
        memset(v->torn, 0, sizeof(v->torn));
        for (int w = WHERE_LIVE; w <= WHERE_PLACE && r == 0; w++) {
            if (*there[w])
                r = look_into(c, v, (enum moves_where)w, s, e);
            *there[w] = *there[w] && !v->torn[w];
        }
    }
    return r;
}

int move_record_look(const struct schemas *c, struct moves *m, struct server *s, struct err *e)
{
    char *database = server_text(c->database), *stage = server_text(c->stage);
    char *old = server_text(c->old);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    names_cmp *cmp;
    int r = read_comparison(s, &cmp, e);

    if (r == 0)
        r = server_query(s, &res, e,
                         "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE "
                         "TABLE_SCHEMA IN (%s,%s,%s)",
                         database, stage, old);
    for (size_t i = 0; i < m->n; i++)
        m->v[i].live = m->v[i].staged = m->v[i].placed = false;
    while (r == 0 && (row = mysql_fetch_row(res)))
        look_for(c, m, row[0], row[1], cmp);
    if (res)
        mysql_free_result(res);
    if (r == 0)
        r = look_into_all(c, m, s, e);
    if (r == 0)
        r = look_at_columns(c, m, s, cmp, e);
    free(database);
    free(stage);
    free(old);
    return r;
}

/* --- renames --- */

void move_record_put_rename(struct buf *b, const char *from_schema, const char *from,
                            const char *to_schema, const char *to)
{
    char *fs = server_name(from_schema), *f = server_name(from);
    char *ts = server_name(to_schema), *t = server_name(to);

    buf_printf(b, "%s%s.%s TO %s.%s", b->len ? ", " : "RENAME TABLE ", fs, f, ts, t);
    free(fs);
    free(f);
    free(ts);
    free(t);
}

struct putting {
    const struct schemas *c;
    struct buf *b;
};

static void put(void *arg, const struct move *v, enum moves_where from, enum moves_where to)
{
    const struct putting *p = arg;
    const char *fs, *f, *ts, *t;

    move_record_where(p->c, v, from, &fs, &f);
    move_record_where(p->c, v, to, &ts, &t);
    move_record_put_rename(p->b, fs, f, ts, t);
}

void move_record_put_renames(const struct schemas *c, const struct moves *m, enum verdict verdict,
                             struct buf *b)
{
    struct putting p = {.c = c, .b = b};

    moves_each(m, verdict, put, &p);
}
