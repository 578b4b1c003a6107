/* SPDX-License-Identifier: MIT */
/*
 * A CREATE is kept without OR REPLACE, IF NOT EXISTS and its DEFINER; an ALTER behind the rows is
 * written into it. So the text that is kept is all that makes the object.
 */
#include "sqlimport/dump/define.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/sql/alter.h"
#include "sqlimport/sql/ddl.h"
#include "sqlimport/sql/stored_grammar.h"
#include "sqlimport/sql/table_grammar.h"

/* The CREATE without OR REPLACE and IF NOT EXISTS: `head` and `rest` are what stands between these
 * and behind them. */
static void put_create(struct reading *r, struct buf *b, const char *head, size_t head_len,
                       const char *rest)
{
    buf_puts(b, "CREATE ");
    buf_append(b, head, head_len);
    buf_append(b, rest, (size_t)(r->plain.data + r->plain.len - rest));
}

/* Keeps it, with the importer as definer. */
static void keep_ddl(struct reading *r, struct object *o, const struct buf *create)
{
    int id = session_vars_current(r->d->vars);
    char *sql = session_vars_sql(r->d->vars, id);
    struct buf b = BUF_INIT;

    ddl_replace_definer(&b, create->data, create->len, r->l.mode);
    free(o->ddl);
    o->ddl_len = b.len;
    o->ddl = buf_detach(&b);
    o->offset = r->st->offset;
    o->line = r->st->line;
    o->vars_id = r->utf8 ? session_vars_as_utf8(r->d->vars, id) : id;
    hash_stream_add(o->stream, sql, strlen(sql) + 1);
    hash_stream_add(o->stream, o->ddl, o->ddl_len);
    hash_stream_add(o->stream, "", 1);
    free(sql);
}

/* mysqldump before 5.7 makes a table in a view's place, in a versioned comment. */
static int placeholder(struct reading *r, char *name)
{
    strlist_add(&r->d->placeholders, name);
    free(name);
    return 0;
}

static int create_table(struct reading *r, enum object_kind kind, const char *head)
{
    struct buf b = BUF_INIT;
    const char *rest;
    size_t head_len;
    char *name;
    int rc;

    reading_next(r);
    head_len = (size_t)(r->t.p - head);
    if (!reading_take_if(r, true))
        return reading_refuse(r, "the dump creates something unknown");
    rest = r->t.p;
    name = reading_object_name(r);
    if (!name)
        return -EPERM;
    if (r->versioned && kind == OBJECT_TABLE)
        return placeholder(r, name);
    if (dump_find(r->d, OBJECT_TABLE, name) || dump_find(r->d, OBJECT_SEQUENCE, name)) {
        rc = err_set(r->e, EPERM, "the dump creates table '%.100s' a second time", name);
        free(name);
        return rc;
    }
    r->o = dump_object(r->d, kind, name);
    free(name);
    put_create(r, &b, head, head_len, rest);
    keep_ddl(r, r->o, &b);
    buf_release(&b);
    return kind == OBJECT_TABLE
               ? table_grammar_check(r->o->ddl, r->o->ddl_len, r->l.mode, &r->o->parents, r->e)
               : table_grammar_check_sequence(r->o->ddl, r->o->ddl_len, r->l.mode, r->e);
}

/* A view, trigger, routine or event; the last CREATE of a view is the real one. */
static int create_other(struct reading *r, enum object_kind kind, const char *head)
{
    char *name, *table = NULL, *definer = NULL;
    struct buf b = BUF_INIT;
    size_t head_len, body;
    int rc;

    reading_next(r);
    head_len = (size_t)(r->t.p - head);
    if (!reading_take_if(r, true))
        return reading_refuse(r, "the dump creates something unknown");
    put_create(r, &b, head, head_len, r->t.p);
    name = reading_object_name(r);
    rc = name ? stored_grammar_read(kind, b.data, b.len, r->l.mode, &body, &table, &definer, r->e)
              : -EPERM;
    if (rc == 0 && table && reading_is_reserved(table))
        rc = reading_refuse(r, "the dump creates a trigger on a table that no dump may name");
    if (rc == 0) {
        struct object *o = dump_object(r->d, kind, name);
        free(o->table);
        free(o->definer);
        o->table = table;
        o->definer = definer;
        table = definer = NULL;
        keep_ddl(r, o, &b);
    }
    free(name);
    free(table);
    free(definer);
    buf_release(&b);
    return rc;
}

/* The kind that is created; stored_grammar_read() looks at what stands before the word. -1:
 * none. */
static int find_kind(const struct reading *r)
{
    struct lexer l = r->l;
    struct token t = r->t;

    for (int i = 0; i < DDL_HEAD_WORDS && t.type != TOKEN_END; i++, lexer_next(&l, &t))
        for (int kind = OBJECT_TABLE; kind <= OBJECT_EVENT; kind++)
            if (token_is(&t, object_kind_name((enum object_kind)kind)))
                return kind;
    return -1;
}

int define_create(struct reading *r)
{
    const char *head;
    int kind;

    reading_next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) {
        reading_next(r);
        return reading_own_database(r);
    }
    if (reading_take(r, "OR") && !reading_take(r, "REPLACE"))
        return reading_refuse(r, "the dump creates something unknown");
    head = r->t.p;
    if (token_is(&r->t, "TABLE") || token_is(&r->t, "SEQUENCE"))
        return create_table(r, token_is(&r->t, "TABLE") ? OBJECT_TABLE : OBJECT_SEQUENCE, head);
    kind = find_kind(r);
    if (kind <= OBJECT_SEQUENCE)
        return reading_refuse(r, "the dump creates something unknown");
    while (!token_is(&r->t, object_kind_name((enum object_kind)kind)))
        reading_next(r);
    return create_other(r, (enum object_kind)kind, head);
}

/* A column became AUTO_INCREMENT behind its rows: 0 must have meant 0 in them. */
static bool zeros_count(const struct reading *r, const struct object *o)
{
    for (size_t i = 0; i < o->n_ranges; i++)
        if (!session_vars_has_mode(r->d->vars, o->ranges[i].vars_id, "NO_AUTO_VALUE_ON_ZERO"))
            return false;
    return true;
}

/* Writes what the ALTER does into the table's CREATE. */
static int change_table(struct reading *r, struct object *o)
{
    struct buf create = BUF_INIT;
    struct lexer behind = r->l;
    bool counter = false;
    int rc;

    if (++o->alters > ALTERS_MAX)
        return reading_refuse(r, "the dump alters a table again and again");
    behind.p = r->t.p;
    buf_append(&create, o->ddl, o->ddl_len);
    hash_stream_add(o->stream, r->plain.data, r->plain.len + 1);
    rc = alter_table(&create, &behind, &counter, r->e);
    if (rc == 0 && counter && !zeros_count(r, o))
        rc = reading_refuse(
            r, "the dump makes a column AUTO_INCREMENT behind its rows without sql_mode "
               "NO_AUTO_VALUE_ON_ZERO");
    if (rc == 0) {
        strlist_release(&o->parents);
        rc = table_grammar_check(create.data, create.len, r->l.mode, &o->parents, r->e);
    }
    free(o->ddl);
    o->ddl_len = create.len;
    o->ddl = buf_detach(&create);
    return rc;
}

int define_alter(struct reading *r)
{
    int vars_id = session_vars_current(r->d->vars);
    struct object *o;
    char *name;

    reading_next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) /* around routines */
        return 0;
    if (!reading_take(r, "TABLE"))
        return reading_refuse(r, "the dump alters something");
    name = reading_object_name(r);
    if (!name)
        return -EPERM;
    if (token_is(&r->t, "DISABLE") || token_is(&r->t, "ENABLE")) {
        free(name);
        return 0;
    }
    o = dump_find(r->d, OBJECT_TABLE, name);
    free(name);
    if (!o || !o->ddl)
        return reading_refuse(r, "the dump alters a table that it does not make");
    r->o = o;
    if (o->vars_id != (r->utf8 ? session_vars_as_utf8(r->d->vars, vars_id) : vars_id))
        return reading_refuse(r, "the dump alters a table under other settings than it was made");
    return change_table(r, o);
}

static int drop_database(struct reading *r)
{
    if (r->d->n > 0)
        return reading_refuse(r, "the dump drops its database after its tables");
    return reading_own_database(r);
}

int define_drop(struct reading *r)
{
    enum object_kind kind;
    char *name;

    reading_next(r);
    if (token_is(&r->t, "DATABASE") || token_is(&r->t, "SCHEMA")) {
        reading_next(r);
        return drop_database(r);
    }
    for (kind = OBJECT_TABLE; kind <= OBJECT_EVENT; kind++)
        if (token_is(&r->t, object_kind_name(kind)))
            break;
    if (kind > OBJECT_EVENT)
        return reading_refuse(r, "the dump drops something that it does not make");
    reading_next(r);
    if (!reading_take_if(r, false))
        return reading_refuse(r, "the dump drops something unknown");
    do {
        name = reading_object_name(r);
        if (!name)
            return -EPERM;
        dump_discard(r->d, kind, name);
        free(name);
    } while (reading_take_punct(r, ','));
    return 0;
}
