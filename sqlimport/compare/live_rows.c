/* SPDX-License-Identifier: MIT */
/*
 * A table's mark is put together in three steps: times from information_schema.TABLES, for a table
 * whose last change is old enough; InnoDB's number of the table, or of all its partitions; and for
 * a sequence, which has no times, its position. In UTC, for in local time an hour comes twice.
 *
 * Rows are streamed: live_rows_next() fetches one as it arrives, and gives it the key and hash that
 * the same row has in a dump (row_key.h).
 */
#include "sqlimport/compare/live_rows.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

static int by_name(const void *a, const void *b)
{
    const struct live_table *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* A sequence has no update time: its state is its mark. */
static int mark_sequence(struct server *s, const char *schema, struct live_table *t, struct err *e)
{
    char *db = server_name(schema), *name = server_name(t->name), *state = NULL;
    int r = server_value(
        s, &state, e, "SELECT CONCAT(next_not_cached_value,'/',cycle_count) FROM %s.%s", db, name);

    if (r == 0)
        snprintf(t->mark, sizeof(t->mark), "seq|%s", state ? state : "");
    free(state);
    free(db);
    free(name);
    return r;
}

/*
 * UPDATE_TIME is in whole seconds, so its second must be over. InnoDB takes it by time(), and other
 * engines from the file's time: both go by the kernel's tick, which is up to 10 ms behind the clock
 * of NOW(6), and a commit may be held up between its look at the clock and its note.
 */
#define MARK_AGE_US "1100000"

static int read_tables(struct server *s, const char *text, struct live *l, struct err *e)
{
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(s, &res, e,
                         "SELECT TABLE_NAME, TABLE_TYPE, CREATE_TIME, UPDATE_TIME, "
                         "UPDATE_TIME + INTERVAL " MARK_AGE_US " MICROSECOND <= NOW(6), "
                         "CREATE_OPTIONS LIKE '%%partitioned%%' FROM information_schema.TABLES "
                         "WHERE TABLE_SCHEMA=%s",
                         text);

    if (r < 0)
        return r;
    l->v = xcalloc(mysql_num_rows(res) + 1, sizeof(*l->v));
    while ((row = mysql_fetch_row(res))) {
        struct live_table *t = &l->v[l->n++];
        t->name = xstrdup(row[0]);
        t->sequence = strcasecmp(row[1], "SEQUENCE") == 0;
        t->view = strcasecmp(row[1], "VIEW") == 0;
        t->partitioned = row[5] && *row[5] == '1';
        if (row[3] && row[4] && *row[4] == '1')
            snprintf(t->mark, sizeof(t->mark), "%s|%s", row[2] ? row[2] : "-", row[3]);
    }
    mysql_free_result(res);
    qsort(l->v, l->n, sizeof(*l->v), by_name);
    return 0;
}

static int read_triggers(struct server *s, const char *text, struct live *l, struct err *e)
{
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(
        s, &res, e,
        "SELECT DISTINCT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS "
        "WHERE EVENT_OBJECT_SCHEMA=%s", /* with TRIGGER_SCHEMA the server would read all schemas */
        text);

    if (r < 0)
        return r;
    while ((row = mysql_fetch_row(res))) {
        struct live_table *t = live_find(l, row[0]);
        if (t)
            t->triggers = true;
    }
    mysql_free_result(res);
    return 0;
}

/* Names that InnoDB writes as they are; it encodes others for the filesystem. */
static bool is_plain(const char *name)
{
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

/* The numbers of a table, or of all its partitions, behind the mark. */
static void add_id(struct live *l, const char *file, const char *id)
{
    size_t len = strcspn(file, "#");
    char *name = xstrndup(file, len);
    struct live_table *t = live_find(l, name);

    free(name);
    if (!t || !*t->mark)
        return;
    t->id = t->id * 1099511628211u + strtoull(id, NULL, 10);
}

/* Only with the right PROCESS; without it the marks show less. */
static void read_ids(struct server *s, const char *schema, struct live *l)
{
    static const char *const tables[] = {"INNODB_SYS_TABLES", "INNODB_TABLES"};
    size_t skip = strlen(schema) + 1;
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;

    if (!is_plain(schema))
        return;
    for (size_t i = 0; i < 2 && !res; i++)
        if (server_query(s, &res, NULL,
                         "SELECT NAME, TABLE_ID FROM information_schema.%s WHERE NAME LIKE '%s/%%' "
                         "ORDER BY NAME",
                         tables[i], schema) < 0)
            res = NULL;
    if (!res)
        return;
    while ((row = mysql_fetch_row(res)))
        if (strncmp(row[0], schema, skip - 1) == 0 && row[0][skip - 1] == '/')
            add_id(l, row[0] + skip, row[1]);
    mysql_free_result(res);
    for (size_t i = 0; i < l->n; i++) {
        size_t len = strlen(l->v[i].mark);
        if (l->v[i].id)
            snprintf(l->v[i].mark + len, MARK_CAP - len, "|%llx", (unsigned long long)l->v[i].id);
    }
}

/* In local time an hour comes twice. */
static int use_utc(struct server *s, struct err *e)
{
    s->vars_id = -1;
    return server_runf(s, e, "SET SESSION time_zone='+00:00'");
}

int live_read(struct server *s, const char *schema, struct live *ret, struct err *e)
{
    char *text = server_text(schema);
    int r;

    memset(ret, 0, sizeof(*ret));
    r = use_utc(s, e);
    if (r == 0)
        r = read_tables(s, text, ret, e);
    if (r == 0)
        read_ids(s, schema, ret);
    if (r == 0)
        r = read_triggers(s, text, ret, e);
    for (size_t i = 0; i < ret->n && r == 0; i++)
        if (ret->v[i].sequence)
            r = mark_sequence(s, schema, &ret->v[i], e);
    free(text);
    if (r < 0)
        err_prefix(e, "cannot read the list of tables of '%s'", schema);
    return r;
}

void live_release(struct live *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].name);
    free(l->v);
    memset(l, 0, sizeof(*l));
}

struct live_table *live_find(const struct live *l, const char *name)
{
    struct live_table key = {.name = xstrdup(name)};
    struct live_table *t = l->n ? bsearch(&key, l->v, l->n, sizeof(*l->v), by_name) : NULL;

    free(key.name);
    return t;
}

/* --- one table --- */

int live_table_def(struct server *s, const char *schema, const char *table, struct table_def *ret,
                   struct err *e)
{
    char *ddl = NULL;
    int r = server_table_ddl(s, schema, table, &ddl, e);

    if (r == 0)
        table_def_read(ret, ddl, strlen(ddl), (struct token_mode){0});
    free(ddl);
    return r;
}

/* --- rows --- */

struct live_rows {
    struct server *s;
    MYSQL_RES *res;
    unsigned n;
    struct value *values;
    enum value_kind *kinds;
    struct row_maker *maker;
    bool ended;
};

static enum value_kind kind_of(const MYSQL_FIELD *f)
{
    switch (f->type) {
    case MYSQL_TYPE_STRING:
    case MYSQL_TYPE_VAR_STRING:
    case MYSQL_TYPE_VARCHAR:
    case MYSQL_TYPE_BLOB:
    case MYSQL_TYPE_BIT:
        return f->charsetnr == 63 ? VALUE_BINARY : VALUE_TEXT;
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG:
    case MYSQL_TYPE_YEAR:
        return VALUE_NUMBER;
    default: /* times, decimals: as text they are understood everywhere */
        return VALUE_TEXT;
    }
}

static void put_names(struct buf *b, const struct strlist *names)
{
    for (size_t i = 0; i < names->n; i++) {
        char *name = server_name(names->v[i]);
        buf_printf(b, "%s%s", i ? "," : "", name);
        free(name);
    }
}

int live_rows_open(struct server *s, const char *schema, const char *table,
                   const struct strlist *columns, const struct strlist *left_out,
                   const struct strlist *key, const struct buf *condition, struct live_rows **ret,
                   struct err *e)
{
    char *db = server_name(schema), *name = server_name(table);
    struct live_rows *r = NULL;
    struct buf b = BUF_INIT;
    MYSQL_RES *res = NULL;
    int rc;

    buf_puts(&b, "SELECT ");
    put_names(&b, columns);
    buf_printf(&b, " FROM %s.%s", db, name);
    if (condition) {
        buf_puts(&b, " WHERE ");
        buf_append(&b, condition->data, condition->len);
        buf_puts(&b, server_for_update(s));
    } else if (key->n > 0) {
        buf_puts(&b, " FORCE INDEX (PRIMARY) ORDER BY ");
        put_names(&b, key);
    }
    rc = server_stream(s, b.data, b.len, &res, e);
    if (rc == 0) {
        r = xcalloc(1, sizeof(*r));
        r->s = s;
        r->res = res;
        r->n = mysql_num_fields(res);
        r->values = xcalloc(r->n, sizeof(*r->values));
        r->kinds = xcalloc(r->n, sizeof(*r->kinds));
        for (unsigned i = 0; i < r->n; i++)
            r->kinds[i] = kind_of(mysql_fetch_field_direct(res, i));
        r->maker = row_maker_new(columns, key);
        row_maker_leave_out(r->maker, columns, left_out);
        *ret = r;
    }
    buf_release(&b);
    free(db);
    free(name);
    return rc;
}

int live_rows_next(void *rows, struct row_id *id, struct row_place *place, struct err *e)
{
    struct live_rows *r = rows;
    unsigned long *lengths;
    MYSQL_ROW row = r->ended ? NULL : mysql_fetch_row(r->res);

    (void)place; /* only new rows have one */
    if (!row) {
        r->ended = true;
        return server_stream_end(r->s, e);
    }
    lengths = mysql_fetch_lengths(r->res);
    for (unsigned i = 0; i < r->n; i++) {
        r->values[i].kind = row[i] ? r->kinds[i] : VALUE_NULL;
        r->values[i].p = row[i] ? row[i] : "";
        r->values[i].len = row[i] ? lengths[i] : 0;
    }
    if (row_maker_make(r->maker, r->values, r->n, id) < 0)
        return err_set(e, EPROTO, "its rows cannot be compared");
    return 1;
}

void live_rows_close(struct live_rows *r)
{
    if (!r)
        return;
    if (r->ended)
        mysql_free_result(r->res);
    else /* would read all that is left: the connection is closed instead */
        server_abandon(r->s, r->res);
    row_maker_free(r->maker);
    free(r->values);
    free(r->kinds);
    free(r);
}
