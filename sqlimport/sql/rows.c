/* SPDX-License-Identifier: MIT */
/*
 * Nearly all bytes of a dump pass through here, so it is written for speed: the first byte tells
 * what a value is, and the inside of a string is passed over by token_to_quote().
 */
#include "sqlimport/sql/rows.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define CHARSET_MAX 24 /* row_scan.c looks no further */

/* A value's reader returns the pointer behind it, or one of these. */
static const char more[1], bad[1];

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static const char *skip_blank(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *string(const char *p, const char *end, struct token_mode mode)
{
    char quote = *p++;

    if (quote == '"' && mode.ansi_quotes)
        return bad;
    for (;;) {
        if (!token_to_quote(&p, end, quote, !mode.no_backslash_escapes) || p + 1 >= end)
            return more;
        if (p[1] != quote)
            return p + 1;
        p += 2;
    }
}

static const char *digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

static const char *number(const char *p, const char *end)
{
    const char *start = p;

    if (end - p >= 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        for (p += 2; p < end && isxdigit((unsigned char)*p); p++)
            ;
        return p < end ? p : more;
    }
    p = digits(p, end);
    if (p < end && *p == '.')
        p = digits(p + 1, end);
    if (p < end && p > start && is_digit(p[-1]) && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        if (p < end && !is_digit(*p))
            return bad;
        p = digits(p, end);
    }
    if (p >= end)
        return more;
    return p > start && (p > start + 1 || *start != '.') ? p : bad;
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(const char *p, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(p, word, len) == 0;
}

/* NULL, DEFAULT, _binary 'x', x'00' and the like. */
static const char *word(const char *p, const char *end, struct token_mode mode)
{
    const char *start = p;
    size_t len;

    while (p < end && (is_alnum(*p) || *p == '_'))
        p++;
    if (p >= end)
        return more;
    len = (size_t)(p - start);
    if (*start == '_' && len > 1 && len <= CHARSET_MAX) {
        p += *p == ' ';
        if (p >= end)
            return more;
        if (*p == '\'')
            return string(p, end, mode);
        return is_digit(*p) ? number(p, end) : bad;
    }
    if (len == 1 && strchr("xXbBnN", *start) && *p == '\'')
        return string(p, end, mode);
    if ((len == 4 && memcmp(start, "NULL", 4) == 0) || is_word(start, len, "NULL") ||
        is_word(start, len, "DEFAULT") || is_word(start, len, "TRUE") ||
        is_word(start, len, "FALSE"))
        return p;
    return bad;
}

static const char *value(const char *p, const char *end, struct token_mode mode)
{
    if (p >= end)
        return more;
    if (is_digit(*p) || *p == '.')
        return number(p, end);
    if (*p == '\'' || *p == '"')
        return string(p, end, mode);
    if (*p == '-' || *p == '+')
        return p + 1 < end ? number(p + 1, end) : more;
    return word(p, end, mode);
}

/* Behind the opening bracket: pointer behind the closing one. *at is moved to each value. */
static const char *values(const char **at, const char *end, struct token_mode mode)
{
    const char *p = skip_blank(*at, end), *next;

    if (p < end && *p == ')')
        return p + 1; /* a row of defaults */
    for (;; p = skip_blank(p + 1, end)) {
        *at = p;
        next = value(p, end, mode);
        if (next == more || next == bad)
            return next;
        p = skip_blank(next, end);
        if (p >= end)
            return more;
        if (*p == ')')
            return p + 1;
        if (*p != ',')
            return bad;
    }
}

enum rows_result rows_next(const char **p, const char *end, struct token_mode mode, bool first,
                           bool whole, struct row *ret)
{
    const char *q = skip_blank(*p, end), *at, *behind;

    if (!first && q < end) {
        if (*q != ',') {
            *p = q;
            return ROWS_END;
        }
        q = skip_blank(q + 1, end);
    } else if (!first && whole) {
        *p = q;
        return ROWS_END;
    }
    at = q;
    behind = q >= end ? more : *q != '(' ? bad : (at++, values(&at, end, mode));
    if (behind == more && !whole)
        return ROWS_MORE;
    if (behind == more || behind == bad) {
        *p = at;
        return ROWS_BAD;
    }
    ret->p = q;
    ret->len = (size_t)(behind - q);
    *p = behind;
    return ROWS_ROW;
}

bool rows_value(const char **p, const char *end, struct token_mode mode, struct row *ret)
{
    const char *q = skip_blank(*p, end), *behind = value(q, end, mode);

    if (behind == more || behind == bad)
        return false;
    *ret = (struct row){q, (size_t)(behind - q)};
    q = skip_blank(behind, end);
    if (q >= end || (*q != ',' && *q != ')'))
        return false;
    *p = q + 1;
    return true;
}

/* Says where, and not what: it may be somebody's address. */
static int not_plain(int64_t rows, struct err *e)
{
    return err_set(e, EPERM,
                   "an INSERT holds something other than plain values behind its row %lld",
                   (long long)rows);
}

bool rows_begin(struct lexer *l, struct token *t)
{
    while (token_is(t, "INSERT") || token_is(t, "REPLACE") || token_is(t, "IGNORE") ||
           token_is(t, "DELAYED") || token_is(t, "LOW_PRIORITY") || token_is(t, "INTO"))
        lexer_next(l, t);
    return t->type == TOKEN_NAME || t->type == TOKEN_WORD;
}

int rows_find(struct lexer *l, struct err *e)
{
    struct token t;

    lexer_next(l, &t);
    if (token_is_punct(&t, '(')) { /* column list */
        do
            lexer_next(l, &t);
        while (t.type == TOKEN_NAME || t.type == TOKEN_WORD || token_is_punct(&t, ','));
        if (!token_is_punct(&t, ')'))
            return not_plain(0, e);
        lexer_next(l, &t);
    }
    if (!token_is(&t, "VALUES") && !token_is(&t, "VALUE"))
        return not_plain(0, e);
    return 0;
}

int64_t rows_count(const char *p, const char *end, struct token_mode mode, struct err *e)
{
    struct row row;
    int64_t n = 0;
    enum rows_result r;

    while ((r = rows_next(&p, end, mode, n == 0, true, &row)) == ROWS_ROW)
        n++;
    return r == ROWS_END && p == end ? n : not_plain(n, e);
}
