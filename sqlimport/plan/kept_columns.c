/* SPDX-License-Identifier: MIT */
/*
 * find     which columns of a table are kept, by keep_rules.h and the dump's definition
 * copy     before a RENAME:  REPLACE INTO stage.t SELECT live's kept columns, staged others
 *                            FROM live.t JOIN stage.t by primary key WHERE they differ
 * read     in a delta, under the row's lock:  SELECT kept INTO @eefs_ROW_COLUMN
 * put_row  and then the dump's row with these variables in the places of the kept columns
 */
#include "sqlimport/plan/kept_columns.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int place(const struct strlist *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcasecmp(names->v[i], name) == 0)
            return (int)i;
    return -1;
}

static void note(struct buf *notes, const char *text)
{
    buf_printf(notes, "%s%s", notes->len ? "; " : "", text);
}

/* --- which --- */

struct finding {
    const struct object *o;
    const struct table_def *def;
    struct strlist *ret;
    struct buf *notes;
    int r;
    struct err *e;
};

/* Literal reason why it cannot be kept, or NULL. */
static const char *obstacle(const struct finding *f, const char *column)
{
    if (f->def->key.n == 0 || f->def->key.n > ROW_KEY_MAX)
        return "the table has no primary key by which its rows are found again: give it one on the "
               "master, or do not name the column";
    if (place(&f->def->bound, column) >= 0)
        return "it is computed, or belongs to a primary, unique or foreign key: name another "
               "column";
    return NULL;
}

static void find_one(void *arg, const char *column, bool asked)
{
    struct finding *f = arg;
    int at = place(&f->def->columns, column);
    const char *why = at >= 0 ? obstacle(f, column) : NULL;
    char *text = NULL;

    if (at < 0 && asked)
        text = xasprintf("the dump's table '%.64s' has no column '%.64s'", f->o->name, column);
    else if (why && !asked)
        text =
            xasprintf("column '%.64s' of table '%.64s' is not kept: %s", column, f->o->name, why);
    else if (why && f->r == 0)
        f->r = err_set(f->e, EPERM, "--keep-column cannot keep column '%.64s' of table '%.64s': %s",
                       column, f->o->name, why);
    else if (at >= 0 && !why && place(f->ret, column) < 0)
        strlist_add(f->ret, f->def->columns.v[at]);
    if (text)
        note(f->notes, text);
    free(text);
}

int kept_columns_find(const struct object *o, const struct table_def *def,
                      const struct keep_rules *k, struct strlist *ret, struct buf *notes,
                      struct err *e)
{
    struct finding f = {o, def, ret, notes, 0, e};

    if (o->kind == OBJECT_TABLE)
        keep_rules_columns(k, o->name, find_one, &f);
    return f.r;
}

/* --- into a staged table --- */

struct copying {
    const struct step *st;
    const char *database, *stage;
    struct server *s;
    struct strlist columns; /* of the staged table, those that can be written */
    struct strlist own;     /* those to be kept that the live table has, too */
    struct strlist text;    /* of `columns`: those that are compared byte by byte */
};

static int read_columns(struct copying *c, struct err *e)
{
    char *schema = server_text(c->stage), *table = server_text(c->st->name);
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(c->s, &res, e,
                         "SELECT COLUMN_NAME, DATA_TYPE REGEXP 'char|text|enum|set|json' FROM "
                         "information_schema.COLUMNS WHERE TABLE_SCHEMA=%s AND TABLE_NAME=%s AND "
                         "EXTRA NOT REGEXP 'VIRTUAL|STORED|PERSISTENT'",
                         schema, table);

    free(schema);
    free(table);
    if (r < 0)
        return r;
    while ((row = mysql_fetch_row(res))) {
        strlist_add(&c->columns, row[0]);
        if (*row[1] == '1')
            strlist_add(&c->text, row[0]);
    }
    mysql_free_result(res);
    return 0;
}

/* 1: there is something to copy. */
static int compare_tables(struct copying *c, struct buf *notes, struct err *e)
{
    const struct table_def *def = &c->st->def;
    struct table_def live;
    char *text;
    int r = live_table_def(c->s, c->database, c->st->name, &live, e);

    if (r < 0)
        return r == -EREMOTEIO && c->s->code == ER_NO_SUCH_TABLE ? 0 : r;
    for (size_t i = 0; i < def->key.n; i++)
        if (r == 0 && place(&live.columns, def->key.v[i]) < 0) {
            text = xasprintf("the values of table '%.64s' here cannot be kept, for it has no "
                             "column '%.64s' of the dump's primary key: the dump's are taken",
                             c->st->name, def->key.v[i]);
            note(notes, text);
            free(text);
            r = 1;
        }
    for (size_t i = 0; i < c->st->o->own.n && r == 0; i++) {
        const char *name = c->st->o->own.v[i];
        if (place(&live.columns, name) >= 0) {
            strlist_add(&c->own, name);
            continue;
        }
        text =
            xasprintf("table '%.64s' here has no column '%.64s' yet: the dump's values are taken",
                      c->st->name, name);
        note(notes, text);
        free(text);
    }
    table_def_release(&live);
    return r == 0 && c->own.n > 0;
}

static void put_column(struct buf *b, const char *before, char table, const char *name)
{
    char *quoted = server_name(name);

    buf_printf(b, "%s%c.%s", before, table, quoted);
    free(quoted);
}

/* A key of another collation than the live one's is compared by its characters. */
static void put_join(struct buf *b, const struct strlist *key, bool by_characters)
{
    static const char end[] = " USING utf8mb4) COLLATE utf8mb4_bin";

    for (size_t i = 0; i < key->n; i++) {
        buf_puts(b, i ? " AND " : " ON ");
        put_column(b, by_characters ? "CONVERT(" : "", 's', key->v[i]);
        buf_puts(b, by_characters ? end : "");
        put_column(b, by_characters ? "=CONVERT(" : "=", 'l', key->v[i]);
        buf_puts(b, by_characters ? end : "");
    }
}

/* Only where they differ, as far as values of one type can be compared. */
static void put_where(struct buf *b, const struct copying *c)
{
    for (size_t i = 0; i < c->own.n && c->st->same_structure; i++) {
        bool bytes = place(&c->text, c->own.v[i]) >= 0;
        buf_puts(b, i ? " OR NOT (" : " WHERE NOT (");
        put_column(b, bytes ? "BINARY " : "", 's', c->own.v[i]);
        put_column(b, bytes ? "<=>BINARY " : "<=>", 'l', c->own.v[i]);
        buf_putc(b, ')');
    }
}

static void put_replace(struct buf *b, const struct copying *c, bool by_characters)
{
    char *stage = server_name(c->stage), *database = server_name(c->database);
    char *name = server_name(c->st->name);

    buf_printf(b, "REPLACE INTO %s.%s (", stage, name);
    for (size_t i = 0; i < c->columns.n; i++) {
        char *column = server_name(c->columns.v[i]);
        buf_printf(b, "%s%s", i ? "," : "", column);
        free(column);
    }
    buf_puts(b, ") SELECT ");
    for (size_t i = 0; i < c->columns.n; i++)
        put_column(b, i ? "," : "", place(&c->own, c->columns.v[i]) >= 0 ? 'l' : 's',
                   c->columns.v[i]);
    buf_printf(b, " FROM %s.%s l JOIN %s.%s s", database, name, stage, name);
    put_join(b, &c->st->def.key, by_characters);
    put_where(b, c);
    free(stage);
    free(database);
    free(name);
}

static int replace(const struct copying *c, bool by_characters, struct err *e)
{
    struct buf b = BUF_INIT;
    int r;

    put_replace(&b, c, by_characters);
    r = server_run(c->s, b.data, b.len, e);
    buf_release(&b);
    return r;
}

/* A value that does not fit another column must not be cut; one of the same column always fits,
 * also if strict modes would not take it. */
static int copy_values(const struct copying *c, struct err *e)
{
    char *modes = xasprintf("SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO%s', time_zone='+00:00'",
                            c->st->same_structure ? "" : ",STRICT_ALL_TABLES,ALLOW_INVALID_DATES");
    int r = server_begin(c->s, e), r2;

    if (r == 0)
        r = server_run(c->s, modes, strlen(modes), e);
    if (r == 0)
        r = replace(c, false, e);
    if (r == -EREMOTEIO && c->s->code == ER_CANT_AGGREGATE_2COLLATIONS)
        r = replace(c, true, e);
    free(modes);
    if (r == -ENOTCONN)
        return r;
    c->s->vars_id = -1;
    r2 = server_runf(c->s, r == 0 ? e : NULL, r == 0 ? "COMMIT" : "ROLLBACK");
    if (r2 == 0)
        r2 = server_runf(c->s, r == 0 ? e : NULL, "SET SESSION sql_mode='', time_zone='SYSTEM'");
    return r < 0 ? r : r2;
}

static int copy_table(struct copying *c, struct buf *notes, struct err *e)
{
    struct err e2 = {0};
    int r = compare_tables(c, notes, &e2);

    if (r == 1)
        r = read_columns(c, &e2);
    if (r == 0 && c->columns.n > 0)
        r = copy_values(c, &e2);
    if (r == -EREMOTEIO && !c->st->same_structure) {
        char *text = xasprintf("the values of table '%.64s' here do not fit the dump's columns, "
                               "whose values are taken (%.200s)",
                               c->st->name, e2.text);
        note(notes, text);
        free(text);
        return 0;
    }
    if (r < 0 && e)
        *e = e2;
    return r < 0 ? err_prefix(e, "cannot keep values of '%.64s'", c->st->name) : r;
}

int kept_columns_copy(const struct plan *p, const char *database, const char *stage,
                      struct server *s, struct buf *notes, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < p->n && r == 0; i++) {
        struct copying c = {.st = &p->steps[i], .database = database, .stage = stage, .s = s};
        if (p->steps[i].action != ACTION_SWAP || p->steps[i].o->own.n == 0 || p->steps[i].view)
            continue;
        r = copy_table(&c, notes, e);
        strlist_release(&c.columns);
        strlist_release(&c.own);
        strlist_release(&c.text);
    }
    return r;
}

/* --- in a delta --- */

int kept_columns_read(struct server *s, const char *database, const struct object *o,
                      const struct buf *condition, size_t number, struct err *e)
{
    char *db = server_name(database), *name = server_name(o->name);
    struct buf b = BUF_INIT;
    int r;

    for (size_t i = 0; i < o->own.n; i++) {
        char *column = server_name(o->own.v[i]);
        buf_printf(&b, "%s%s", i ? "," : "SELECT ", column);
        free(column);
    }
    for (size_t i = 0; i < o->own.n; i++)
        buf_printf(&b, "%s@eefs_%zu_%zu", i ? "," : " INTO ", number, i);
    buf_printf(&b, " FROM %s.%s WHERE ", db, name);
    buf_append(&b, condition->data, condition->len); /* may hold NUL bytes */
    buf_puts(&b, server_for_update(s));
    r = server_run(s, b.data, b.len, e);
    if (r == 0)
        r = mysql_affected_rows(s->my) == 1;
    buf_release(&b);
    free(db);
    free(name);
    return r;
}

bool kept_columns_put_row(struct buf *b, const struct row *row, struct token_mode mode,
                          const struct strlist *columns, const struct object *o, size_t number)
{
    const char *p = row->p + 1, *end = row->p + row->len;
    struct row v;

    for (size_t i = 0; i < columns->n; i++) {
        int at = place(&o->own, columns->v[i]);
        if (!rows_value(&p, end, mode, &v))
            return false;
        buf_putc(b, i ? ',' : '(');
        if (at >= 0)
            buf_printf(b, "@eefs_%zu_%d", number, at);
        else
            buf_append(b, v.p, v.len);
    }
    buf_putc(b, ')');
    return p == end;
}
