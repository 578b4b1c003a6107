/* SPDX-License-Identifier: MIT */
/*
 * A row is read in two passes: the first finds each value's bytes and how they are written (`form`:
 * a quote that needs unescaping, x for hexadecimal, b for bits, 0 for plain bytes); the second
 * turns those that are not plain into bytes in `store`, which never has to grow, for a value is
 * never longer than its text.
 */
#include "sqlimport/sql/values.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/rows.h"

/* Behind the table's name: an optional list of columns, and VALUES. */
static int read_head(struct values *r, struct lexer *l)
{
    struct token t;

    lexer_next(l, &t);
    if (token_is_punct(&t, '(')) {
        r->columns = t.p;
        while (t.type != TOKEN_END && !token_is_punct(&t, ')'))
            lexer_next(l, &t);
        r->columns_len = (size_t)(l->p - r->columns);
        lexer_next(l, &t);
    }
    return token_is(&t, "VALUES") || token_is(&t, "VALUE") ? 0 : -EPROTO;
}

int values_init(struct values *r, const char *text, size_t len, struct token_mode mode)
{
    struct lexer l;
    struct token t;
    int rc;

    memset(r, 0, sizeof(*r));
    r->mode = mode;
    lexer_init(&l, text, len, mode);
    lexer_next(&l, &t);
    if (!rows_begin(&l, &t))
        return -EPROTO;
    rc = read_head(r, &l);
    r->p = l.p;
    r->end = text + len;
    return rc;
}

void values_init_bare(struct values *r, const char *text, size_t len, struct token_mode mode)
{
    memset(r, 0, sizeof(*r));
    r->mode = mode;
    r->p = text;
    r->end = text + len;
}

void values_release(struct values *r)
{
    free(r->v);
    buf_release(&r->store);
    memset(r, 0, sizeof(*r));
}

static void skip_space(struct values *r)
{
    while (r->p < r->end && isspace((unsigned char)*r->p))
        r->p++;
}

static int read_string(struct values *r, struct value *v)
{
    char q = *r->p++;
    bool escapes = !r->mode.no_backslash_escapes;
    const char *p = r->p;

    v->p = p;
    for (;; p++) {
        while (p < r->end && *p != q && *p != '\\')
            p++;
        if (p >= r->end)
            return -EPROTO;
        if (*p == '\\') {
            if (!escapes)
                continue;
        } else if (p + 1 >= r->end || p[1] != q) {
            break;
        }
        v->form = q;
        p++;
    }
    v->len = (size_t)(p - v->p);
    r->p = p + 1;
    return 0;
}

static void read_bare(struct values *r, struct value *v)
{
    v->p = r->p;
    while (r->p < r->end && *r->p != ',' && *r->p != ')' && !isspace((unsigned char)*r->p))
        r->p++;
    v->len = (size_t)(r->p - v->p);
}

static bool is_hex(const char *p, const char *end)
{
    return end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
}

static int read_hex(struct values *r, struct value *v)
{
    read_bare(r, v);
    v->p += 2;
    v->len -= 2;
    v->form = 'x';
    for (size_t i = 0; i < v->len; i++)
        if (!isxdigit((unsigned char)v->p[i]))
            return -EPROTO;
    return 0;
}

/* X'00ff' and b'101'. */
static int read_quoted_digits(struct values *r, struct value *v)
{
    bool bits = (*r->p | 0x20) == 'b';

    v->p = r->p += 2;
    while (r->p < r->end && (bits ? *r->p == '0' || *r->p == '1' : isxdigit((unsigned char)*r->p)))
        r->p++;
    v->len = (size_t)(r->p - v->p);
    v->form = bits ? 'b' : 'x';
    v->kind = VALUE_BINARY;
    return r->p < r->end && *r->p++ == '\'' ? 0 : -EPROTO;
}

static int read_value(struct values *r, struct value *v)
{
    char c = r->p < r->end ? *r->p : '\0';

    v->form = 0;
    v->kind = VALUE_TEXT;
    if (c == '_') {
        if (r->end - r->p < 8 || strncasecmp(r->p, "_binary", 7) != 0)
            return -EPROTO;
        r->p += 7;
        skip_space(r);
        v->kind = VALUE_BINARY;
        c = r->p < r->end ? *r->p : '\0';
        if (c != '\'' && c != '"' && !is_hex(r->p, r->end))
            return -EPROTO;
    }
    if (c == '\'' || (c == '"' && !r->mode.ansi_quotes))
        return read_string(r, v);
    if (c && strchr("xXbB", c) && r->end - r->p > 2 && r->p[1] == '\'')
        return read_quoted_digits(r, v);
    if (is_hex(r->p, r->end)) {
        v->kind = VALUE_BINARY;
        return read_hex(r, v);
    }
    read_bare(r, v);
    if (v->len == 4 && strncasecmp(v->p, "NULL", 4) == 0) {
        v->kind = VALUE_NULL;
        v->len = 0;
        return 0;
    }
    v->kind = VALUE_NUMBER;
    for (size_t i = 0; i < v->len; i++)
        if (!isdigit((unsigned char)v->p[i]) && !strchr("+-.eE", v->p[i]))
            return -EPROTO;
    return v->len > 0 ? 0 : -EPROTO;
}

static char unescaped(char c)
{
    switch (c) {
    case '0':
        return '\0';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'Z':
        return '\032';
    default:
        return c;
    }
}

/* The store has room: a value never grows. */
static void unescape(struct values *r, struct value *v)
{
    char *out = r->store.data + r->store.len, *begin = out;
    const char *p = v->p, *end = v->p + v->len;
    bool escapes = !r->mode.no_backslash_escapes;

    while (p < end) {
        if (*p == '\\' && escapes) {
            p++;
            if (*p == '%' || *p == '_') /* these two keep it */
                *out++ = '\\';
            *out++ = unescaped(*p++);
        } else {
            if (*p == v->form) /* doubled */
                p++;
            *out++ = *p++;
        }
    }
    v->p = begin;
    v->len = (size_t)(out - begin);
    r->store.len += v->len;
}

static unsigned hex_digit(char c)
{
    return (unsigned)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

/* An odd number of digits has a zero in front, as on the server. */
static void unhex(struct values *r, struct value *v)
{
    char *out = r->store.data + r->store.len, *begin = out;
    size_t i = 0;

    if (v->len % 2)
        *out++ = (char)hex_digit(v->p[i++]);
    for (; i < v->len; i += 2)
        *out++ = (char)(hex_digit(v->p[i]) << 4 | hex_digit(v->p[i + 1]));
    v->p = begin;
    v->len = (size_t)(out - begin);
    r->store.len += v->len;
}

/* The last digit is the last bit. */
static void unbit(struct values *r, struct value *v)
{
    size_t n = (v->len + 7) / 8;
    unsigned char *out = (unsigned char *)r->store.data + r->store.len;

    memset(out, 0, n);
    for (size_t i = 0; i < v->len; i++)
        if (v->p[v->len - 1 - i] == '1')
            out[n - 1 - i / 8] |= (unsigned char)(1U << i % 8);
    v->p = (const char *)out;
    v->len = n;
    r->store.len += n;
}

static struct value *add_value(struct values *r)
{
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 32;
        r->v = xrealloc(r->v, r->cap * sizeof(*r->v));
    }
    return &r->v[r->n++];
}

/* Turns what is not written as plain bytes into bytes. */
static void decode(struct values *r)
{
    buf_clear(&r->store);
    buf_reserve(&r->store, r->row_len);
    for (size_t i = 0; i < r->n; i++) {
        struct value *v = &r->v[i];
        if (v->form == 'x')
            unhex(r, v);
        else if (v->form == 'b')
            unbit(r, v);
        else if (v->form)
            unescape(r, v);
    }
}

int values_next(struct values *r)
{
    bool any = false;

    r->n = 0;
    skip_space(r);
    if (r->p >= r->end)
        return 0;
    if (r->row) {
        if (*r->p++ != ',')
            return -EPROTO;
        skip_space(r);
    }
    if (r->p >= r->end || *r->p != '(')
        return -EPROTO;
    r->row = r->p++;
    do {
        struct value *v = add_value(r);
        skip_space(r);
        if (read_value(r, v) < 0)
            return -EPROTO;
        any = any || v->form;
        skip_space(r);
    } while (r->p < r->end && *r->p++ == ',');
    if (r->p[-1] != ')')
        return -EPROTO;
    r->row_len = (size_t)(r->p - r->row);
    if (any)
        decode(r);
    return 1;
}
