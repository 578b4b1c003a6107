/* SPDX-License-Identifier: MIT */
/*
 * A maker turns the values of a row into two buffers: `key`, which stays, and `body`, which is
 * hashed:
 *
 *     values    1, 'ann', NULL          primary key (id)
 *
 *     key       kind of id | length, bytes of id
 *     body      for each value: kind, length, bytes; values that are left out are skipped
 *
 * Keys are compared by their bytes, and ordered as the server orders them as far as that is
 * possible without its collations.
 */
#include "sqlimport/compare/row_key.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEY_PART_MAX 4096 /* bytes of one key column; InnoDB's longest key has 3072 */

struct row_maker {
    int positions[ROW_KEY_MAX]; /* which value of a row is the i-th column of its key, or -1 */
    size_t n;
    int *left_out; /* places of values, n_left_out of them */
    size_t n_left_out;
    struct buf key, body;
    struct hash_stream *hash;
};

static int position(const struct strlist *columns, const char *name)
{
    for (size_t i = 0; i < columns->n; i++)
        if (strcasecmp(columns->v[i], name) == 0)
            return (int)i;
    return -1;
}

struct row_maker *row_maker_new(const struct strlist *columns, const struct strlist *key)
{
    struct row_maker *m = xcalloc(1, sizeof(*m));

    if (key && key->n <= ROW_KEY_MAX)
        m->n = key->n;
    for (size_t i = 0; i < m->n; i++)
        m->positions[i] = position(columns, key->v[i]);
    m->hash = hash_stream_new();
    return m;
}

void row_maker_leave_out(struct row_maker *m, const struct strlist *columns,
                         const struct strlist *left_out)
{
    free(m->left_out);
    m->left_out = xcalloc(left_out->n + 1, sizeof(*m->left_out));
    m->n_left_out = left_out->n;
    for (size_t i = 0; i < left_out->n; i++)
        m->left_out[i] = position(columns, left_out->v[i]);
}

static bool is_left_out(const struct row_maker *m, size_t at)
{
    for (size_t i = 0; i < m->n_left_out; i++)
        if (m->left_out[i] == (int)at)
            return true;
    return false;
}

void row_maker_free(struct row_maker *m)
{
    if (!m)
        return;
    free(m->left_out);
    buf_release(&m->key);
    buf_release(&m->body);
    hash_stream_free(m->hash);
    free(m);
}

static int make_key(struct row_maker *m, const struct value *values, size_t n)
{
    buf_clear(&m->key);
    for (size_t i = 0; i < m->n; i++) {
        int at = m->positions[i];
        if (at < 0 || (size_t)at >= n || values[at].kind == VALUE_NULL ||
            values[at].len > KEY_PART_MAX)
            return -EPROTO;
        buf_putc(&m->key, (char)values[at].kind);
    }
    for (size_t i = 0; i < m->n; i++) {
        const struct value *v = &values[m->positions[i]];
        buf_putc(&m->key, (char)(v->len >> 8));
        buf_putc(&m->key, (char)v->len);
        buf_append(&m->key, v->p, v->len);
    }
    return 0;
}

int row_maker_make(struct row_maker *m, const struct value *values, size_t n, struct row_id *ret)
{
    struct hash h;
    int r = make_key(m, values, n);

    if (r < 0)
        return r;
    buf_clear(&m->body);
    for (size_t i = 0; i < n; i++) {
        const struct value *v = &values[i];
        unsigned char head[5] = {v->kind != VALUE_NULL, (unsigned char)(v->len >> 24),
                                 (unsigned char)(v->len >> 16), (unsigned char)(v->len >> 8),
                                 (unsigned char)v->len};
        if (is_left_out(m, i))
            continue;
        buf_append(&m->body, head, sizeof(head));
        buf_append(&m->body, v->p, v->len);
    }
    hash_stream_add(m->hash, m->body.data, m->body.len);
    hash_stream_end(m->hash, &h);
    memcpy(ret->hash, h.b, ROW_HASH_BYTES);
    if (m->n == 0) { /* no key: the row itself */
        buf_append(&m->key, h.b, ROW_HASH_BYTES);
    }
    ret->key = (const unsigned char *)m->key.data;
    ret->key_len = m->key.len;
    ret->n_key = m->n;
    return 0;
}

int row_key_compare(const struct row_id *a, const struct row_id *b)
{
    size_t x = a->key_len - a->n_key, y = b->key_len - b->n_key;
    int r = memcmp(a->key + a->n_key, b->key + b->n_key, x < y ? x : y);

    return r ? r : x < y ? -1 : x > y;
}

/* Whole numbers as mysqldump writes them; any others in some order that is always the same. */
static int number_order(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
    bool minus = a_len > 0 && *a == '-';
    int r;

    if (minus != (b_len > 0 && *b == '-'))
        return minus ? -1 : 1;
    r = a_len != b_len ? (a_len < b_len ? -1 : 1) : memcmp(a, b, a_len);
    return minus ? -r : r;
}

int row_key_order(const struct row_id *a, const struct row_id *b)
{
    const unsigned char *p = a->key + a->n_key, *q = b->key + b->n_key;
    int r = 0;

    if (a->n_key == 0 || a->n_key != b->n_key)
        return row_key_compare(a, b);
    for (size_t i = 0; i < a->n_key && r == 0; i++) {
        size_t n = (size_t)p[0] << 8 | p[1], m = (size_t)q[0] << 8 | q[1];
        if (a->key[i] == VALUE_NUMBER && b->key[i] == VALUE_NUMBER)
            r = number_order(p + 2, n, q + 2, m);
        else if ((r = memcmp(p + 2, q + 2, n < m ? n : m)) == 0)
            r = n < m ? -1 : n > m;
        p += 2 + n;
        q += 2 + m;
    }
    return r;
}

static void put_text(struct buf *out, const char *p, size_t len, struct token_mode mode)
{
    buf_putc(out, '\'');
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '\'' || (p[i] == '\\' && !mode.no_backslash_escapes))
            buf_putc(out, p[i]);
        buf_putc(out, p[i]);
    }
    buf_putc(out, '\'');
}

static void put_hex(struct buf *out, const char *p, size_t len)
{
    if (len == 0) {
        buf_puts(out, "''");
        return;
    }
    buf_puts(out, "0x");
    for (size_t i = 0; i < len; i++)
        buf_printf(out, "%02x", (unsigned char)p[i]);
}

void row_key_column(struct buf *out, const struct strlist *columns, size_t i)
{
    buf_putc(out, '`');
    for (const char *c = columns->v[i]; *c; c++) {
        if (*c == '`')
            buf_putc(out, '`');
        buf_putc(out, *c);
    }
    buf_putc(out, '`');
}

static void put_value(struct buf *out, char kind, const char *bytes, size_t len,
                      struct token_mode mode)
{
    if (kind == VALUE_NUMBER)
        buf_append(out, bytes, len);
    else if (kind == VALUE_BINARY)
        put_hex(out, bytes, len);
    else
        put_text(out, bytes, len, mode);
}

void row_key_value(struct buf *out, const struct row_id *id, struct token_mode mode)
{
    const unsigned char *p = id->key + id->n_key;

    put_value(out, (char)id->key[0], (const char *)p + 2, (size_t)p[0] << 8 | p[1], mode);
}

void row_key_condition(struct buf *out, const struct row_id *id, const struct strlist *columns,
                       struct token_mode mode)
{
    const unsigned char *p = id->key + id->n_key;

    for (size_t i = 0; i < id->n_key; i++) {
        size_t len = (size_t)p[0] << 8 | p[1];

        buf_puts(out, i ? " AND " : "(");
        row_key_column(out, columns, i);
        buf_putc(out, '=');
        put_value(out, (char)id->key[i], (const char *)p + 2, len, mode);
        p += 2 + len;
    }
    buf_putc(out, ')');
}
