/* SPDX-License-Identifier: MIT */
/*
 * Ranges are read again one by one:
 *
 *     load: range ─> text in memory ─> cut into statements ─> its hash is that of the judged range?
 *                                           │
 *           statement: gives one ──────────>┴─> note, or next: its rows ─> key and hash ─> row cache
 *
 * The columns are learnt once, from the first statement's list or from the table's definition. A
 * row of another form, a second list, or other session settings make the rows `bad`: they can be
 * sent, but not be compared, and the row cache is dropped.
 */
#include "sqlimport/compare/table_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/charset.h"
#include "sqlimport/sql/rows.h"
#include "sync/common/file.h"

struct table_rows {
    int fd;
    const struct dump *d;
    const struct object *o;
    const struct table_def *def;
    const char *row_cache_dir;
    struct strlist
        column_list; /* columns that the statements name; none: those of the definition */
    char *list;      /* their text, the same in every statement */
    bool known;      /* the columns are */
    bool bad;        /* a row could not be read */
    bool ended;      /* all went by as it was judged */
    size_t next;     /* range */
    struct buf text; /* of the range loaded last */
    struct statement *statements; /* in it */
    size_t n, cap, n_given;
    struct values rows; /* of the statement given last */
    bool reading;
    struct rowhash *hash;
    struct row_maker *maker;
    struct row_cache_writer *cache;
};

struct table_rows *table_rows_open(int fd, const struct dump *d, const struct object *o,
                                   const struct table_def *def, const char *row_cache_dir)
{
    struct table_rows *s = xcalloc(1, sizeof(*s));

    s->fd = fd;
    s->d = d;
    s->o = o;
    s->def = def;
    s->row_cache_dir = row_cache_dir;
    s->hash = rowhash_new(&d->secret);
    return s;
}

void table_rows_close(struct table_rows *s)
{
    if (!s)
        return;
    row_cache_end(s->cache, s->ended && !s->bad && s->maker);
    values_release(&s->rows);
    row_maker_free(s->maker);
    rowhash_free(s->hash);
    strlist_release(&s->column_list);
    free(s->list);
    buf_release(&s->text);
    free(s->statements);
    free(s);
}

/* It is sent with rows, in their character set; and one in UTF-8 is not written in another one. */
static bool name_fits(const struct table_rows *s, const char *name)
{
    int vars_id = s->o->n_ranges ? s->o->ranges[0].vars_id : s->o->vars_id;

    return charset_is_utf8(session_vars_charset_of(s->d->vars, vars_id)) ||
           charset_is_ascii(name, strlen(name));
}

static bool names_fit(const struct table_rows *s, const struct strlist *names)
{
    for (size_t i = 0; i < names->n; i++)
        if (!name_fits(s, names->v[i]))
            return false;
    return name_fits(s, s->o->name);
}

static void read_list(struct table_rows *s, const struct values *r)
{
    struct lexer l;
    struct token t;

    s->list = xstrndup(r->columns, r->columns_len);
    lexer_init(&l, r->columns, r->columns_len, r->mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        char *name;
        if (t.type != TOKEN_NAME && t.type != TOKEN_WORD)
            continue;
        name = token_text(&t, r->mode);
        s->bad = s->bad || !name_fits(s, name);
        strlist_add(&s->column_list, name);
        free(name);
    }
}

/* From the first statement, or from the definition alone when there is none. */
static void learn_columns(struct table_rows *s, const struct values *r)
{
    const struct strlist *columns;

    s->known = true;
    if (r && r->columns)
        read_list(s, r);
    else if (s->def->hidden)
        s->bad = true;
    s->bad = s->bad || !names_fit(s, &s->def->columns);
    columns = s->column_list.n ? &s->column_list : &s->def->columns;
    s->maker = row_maker_new(columns, &s->def->key);
    row_maker_leave_out(s->maker, columns, &s->o->own);
    if (table_rows_has_key(s) && s->row_cache_dir && !s->bad &&
        strcasecmp(s->def->engine, "InnoDB") == 0) {
        char *settings =
            session_vars_sql(s->d->vars, s->o->n_ranges ? s->o->ranges[0].vars_id : s->o->vars_id);
        s->cache = row_cache_create(s->row_cache_dir, &s->o->hash, settings, columns, &s->o->own);
        free(settings);
    }
}

static bool same_list(const struct table_rows *s, const struct values *r)
{
    return r->columns ? s->list && strlen(s->list) == r->columns_len &&
                            memcmp(s->list, r->columns, r->columns_len) == 0
                      : !s->list;
}

static struct statement *add_statement(struct table_rows *s)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->statements = xrealloc(s->statements, s->cap * sizeof(*s->statements));
    }
    return &s->statements[s->n++];
}

/* Appends the INSERT at *p, behind white space and the end of the one before, and moves *p to its
 * end. False: there is none, so the bytes are not those that were judged. */
static bool cut_insert(struct table_rows *s, const char **p, const char *end,
                       struct token_mode mode)
{
    struct row row = {*p, 0};
    struct statement *st;
    const char *from;
    int64_t rows = 0;
    struct lexer l;
    struct token t;

    lexer_init(&l, *p, (size_t)(end - *p), mode);
    do
        lexer_next(&l, &t);
    while (token_is_punct(&t, ';'));
    from = s->n > 0 ? t.p : *p;
    if (!rows_begin(&l, &t) || rows_find(&l, NULL) < 0)
        return false;
    while (rows_next(&l.p, end, mode, rows == 0, true, &row) == ROWS_ROW)
        rows++;
    *p = row.p + row.len;
    st = add_statement(s);
    *st = (struct statement){.text = from, .len = (size_t)(*p - from), .rows = rows};
    return rows > 0;
}

static bool cut(struct table_rows *s, const struct range *g)
{
    struct token_mode mode = session_vars_mode_of(s->d->vars, g->vars_id);
    const char *text = s->text.data, *end = text + s->text.len, *p = text;
    uint64_t line = g->line;

    s->n = s->n_given = 0;
    if (g->statements == 1)
        *add_statement(s) = (struct statement){.text = text, .len = s->text.len, .rows = g->rows};
    for (uint32_t i = 0; g->statements > 1 && i < g->statements; i++)
        if (!cut_insert(s, &p, end, mode))
            return false;
    p = text;
    for (size_t i = 0; i < s->n; i++) {
        struct statement *st = &s->statements[i];
        for (; p < st->text; p++)
            line += *p == '\n';
        st->line = line;
        st->offset = g->offset + (st->text - text);
        rowhash_add(s->hash, s->d->vars, g->vars_id, st->text, st->len);
    }
    return true;
}

/* Appends bytes of the dump to the text. */
static int read_text(struct table_rows *s, off_t offset, size_t len, struct err *e)
{
    ssize_t got = file_pread(s->fd, s->text.data + s->text.len, len, offset);

    if (got < 0)
        return err_sys(e, (int)-got, "cannot read the dump");
    if ((size_t)got != len)
        return err_set(e, ESTALE, "the dump became shorter while it was imported");
    s->text.len += len;
    return 0;
}

int table_rows_load(struct table_rows *s, struct err *e)
{
    uint8_t hash[ROWHASH_BYTES];
    const struct range *g;
    int r;

    if (s->next == s->o->n_ranges) {
        if (!s->known)
            learn_columns(s, NULL);
        s->ended = true;
        return 0;
    }
    g = &s->o->ranges[s->next++];
    buf_clear(&s->text);
    buf_reserve(&s->text, (size_t)g->head_len + g->len);
    r = read_text(s, g->head_offset, g->head_len, e);
    if (r == 0)
        r = read_text(s, g->offset, g->len, e);
    if (r < 0)
        return r;
    if (cut(s, g)) {
        rowhash_end(s->hash, hash);
        if (memcmp(hash, g->hash, sizeof(hash)) == 0)
            return 1;
    }
    return err_set(e, ESTALE, "the dump changed while it was imported");
}

bool table_rows_statement(struct table_rows *s, struct statement *ret)
{
    if (s->n_given == s->n)
        return false;
    *ret = s->statements[s->n_given++];
    return true;
}

static int begin_rows(struct table_rows *s)
{
    const struct range *g = &s->o->ranges[s->next - 1];
    const struct statement *st = &s->statements[s->n_given - 1];
    int r;

    values_release(&s->rows);
    r = values_init(&s->rows, st->text, st->len, session_vars_mode_of(s->d->vars, g->vars_id));
    if (r == 0 && !s->known)
        learn_columns(s, &s->rows);
    /* Rows are compared by their bytes, which mean something else under other settings. */
    if (r < 0 || s->bad || g->vars_id != s->o->ranges[0].vars_id || !same_list(s, &s->rows)) {
        s->bad = true;
        return -EPROTO;
    }
    return 0;
}

static int one_row(struct table_rows *s, struct row_id *id)
{
    size_t columns = s->column_list.n ? s->column_list.n : s->def->columns.n;
    int r = values_next(&s->rows);

    if (r == 1 && s->rows.n != columns)
        r = -EPROTO;
    if (r == 1 && row_maker_make(s->maker, s->rows.v, s->rows.n, id) < 0)
        r = -EPROTO;
    if (r < 0)
        s->bad = true;
    else if (r == 1 && s->cache)
        row_cache_add(s->cache, id);
    return r;
}

void table_rows_note(struct table_rows *s)
{
    struct row_id id;

    if (s->bad || !s->row_cache_dir || s->def->key.n == 0 || begin_rows(s) < 0 || !s->cache)
        return;
    while (one_row(s, &id) == 1)
        ;
}

int table_rows_next(void *table_rows, struct row_id *id, struct row_place *place, struct err *e)
{
    struct table_rows *s = table_rows;
    struct statement st;
    int r;

    for (;;) {
        if (s->reading) {
            r = one_row(s, id);
            if (r < 0)
                return err_set(e, EPROTO, "its rows cannot be compared");
            if (r == 1) {
                place->range = (uint32_t)(s->next - 1);
                place->offset =
                    (uint32_t)(s->rows.row - s->text.data) - s->o->ranges[s->next - 1].head_len;
                place->len = (uint32_t)s->rows.row_len;
                return 1;
            }
        }
        s->reading = false;
        if (s->n_given == s->n) {
            r = table_rows_load(s, e);
            if (r <= 0)
                return r;
        }
        if (table_rows_statement(s, &st) && begin_rows(s) < 0)
            return err_set(e, EPROTO, "its rows cannot be compared");
        s->reading = true;
    }
}

bool table_rows_columns(struct table_rows *s, const struct strlist **ret, struct err *e)
{
    const struct range *g = s->o->ranges;
    struct values rows = {0};
    char head[65536]; /* rows points into it */

    if (!s->known && s->o->n_ranges > 0) {
        ssize_t got =
            file_pread(s->fd, head, g->len < sizeof(head) ? g->len : sizeof(head), g->offset);
        if (got < 0 ||
            values_init(&rows, head, (size_t)got, session_vars_mode_of(s->d->vars, g->vars_id)) < 0)
            s->bad = true;
    }
    if (!s->known && !s->bad)
        learn_columns(s, s->o->n_ranges > 0 ? &rows : NULL);
    values_release(&rows);
    if (s->bad) {
        err_set(e, EPROTO, "its rows cannot be compared");
        return false;
    }
    *ret = s->column_list.n ? &s->column_list : &s->def->columns;
    return true;
}

bool table_rows_has_key(const struct table_rows *s)
{
    return s->def->key.n > 0 && s->def->key.n <= ROW_KEY_MAX;
}
