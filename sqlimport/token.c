/* SPDX-License-Identifier: MIT */
#include "sqlimport/token.h"

#include <ctype.h>
#include <endian.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

void lexer_init(struct lexer *l, const char *text, size_t len, struct token_mode mode)
{
    l->p = text;
    l->end = text + len;
    l->mode = mode;
    l->versioned = l->twofold = false;
    l->close = NULL;
}

bool token_escapes(char quote, struct token_mode mode)
{
    return quote != '`' && !mode.no_backslash_escapes && !(quote == '"' && mode.ansi_quotes);
}

/* 16 bytes at a time, with the compiler's vectors (SSE2, NEON). */
static const char *find_either(const char *p, const char *end, char a, char b)
{
    typedef unsigned char bytes __attribute__((vector_size(16)));
    typedef uint64_t halves __attribute__((vector_size(16)));
    const bytes all_a = (bytes){0} + (unsigned char)a, all_b = (bytes){0} + (unsigned char)b;

    for (; end - p >= 16; p += 16) {
        bytes block;
        halves hit;

        memcpy(&block, p, sizeof(block));
        hit = (halves)((block == all_a) | (block == all_b));
        if (hit[0])
            return p + __builtin_ctzll(le64toh(hit[0])) / 8;
        if (hit[1])
            return p + 8 + __builtin_ctzll(le64toh(hit[1])) / 8;
    }
    while (p < end && *p != a && *p != b)
        p++;
    return p;
}

bool token_to_quote(const char **p, const char *end, char quote, bool escapes)
{
    const char *q = *p;

    for (;; q += 2) {
        q = find_either(q, end, quote, escapes ? '\\' : quote);
        *p = q;
        if (q >= end)
            return false;
        if (*q == quote)
            return true;
        if (q + 1 >= end)
            return false;
    }
}

const char *token_quoted_end(const char *p, const char *end, struct token_mode mode)
{
    char quote = *p++;
    bool escapes = token_escapes(quote, mode);

    for (; token_to_quote(&p, end, quote, escapes); p += 2)
        if (p + 1 >= end || p[1] != quote)
            return p + 1;
    return NULL;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80);
}

/* Length of a versioned comment's opener at p, or 0. */
static size_t versioned_opener(const char *p, const char *end)
{
    const char *start = p;
    const char *digits;

    if (end - p >= 3 && memcmp(p, "/*!", 3) == 0)
        p += 3;
    else if (end - p >= 4 && memcmp(p, "/*M!", 4) == 0)
        p += 4;
    else
        return 0;
    digits = p;
    while (p < end && p - digits < 6 && isdigit((unsigned char)*p))
        p++;
    if (p - digits == 6 && memcmp(digits, "999999", 6) == 0)
        return 0;
    return (size_t)(p - start);
}

/* Every server reads numbers up to MySQL 5.6; MySQL skips MariaDB's, MariaDB skips later ones. */
static bool is_skipped_by_some(const char *opener, size_t len)
{
    int number = 0;

    for (size_t i = 3; i < len; i++)
        number = number * 10 + (opener[i] - '0');
    return opener[2] == 'M' || number >= 50700;
}

/* Skips white space and comments. */
static void skip_blank(struct lexer *l)
{
    while (l->p < l->end) {
        size_t left = (size_t)(l->end - l->p);
        size_t opener;

        if (isspace((unsigned char)*l->p)) {
            l->p++;
        } else if ((opener = versioned_opener(l->p, l->end))) {
            l->twofold |= l->close != NULL; /* one within another */
            l->close = is_skipped_by_some(l->p, opener)
                           ? memmem(l->p + opener, left - opener, "*/", 2)
                           : NULL;
            l->p += opener;
            l->versioned = true;
        } else if (l->versioned && left >= 2 && memcmp(l->p, "*/", 2) == 0) {
            l->twofold |= l->close && l->close != l->p;
            l->close = NULL;
            l->p += 2;
            l->versioned = false;
        } else if (left >= 2 && memcmp(l->p, "/*", 2) == 0) {
            const char *close = memmem(l->p + 2, left - 2, "*/", 2);
            l->p = close ? close + 2 : l->end;
        } else if (*l->p == '#' || (left >= 2 && memcmp(l->p, "--", 2) == 0 &&
                                    (left == 2 || isspace((unsigned char)l->p[2])))) {
            const char *nl = memchr(l->p, '\n', left);
            l->p = nl ? nl + 1 : l->end;
        } else {
            return;
        }
    }
}

static const char *variable_end(const char *p, const char *end, struct token_mode mode)
{
    const char *close;

    if (p < end && (*p == '`' || *p == '\'' || *p == '"')) {
        close = token_quoted_end(p, end, mode);
        return close ? close : end;
    }
    while (p < end && (is_word(*p) || *p == '.'))
        p++;
    return p;
}

void lexer_next(struct lexer *l, struct token *ret)
{
    const char *p;
    char c;

    skip_blank(l);
    ret->p = p = l->p;
    ret->versioned = l->versioned;
    ret->len = 0;
    if (p >= l->end) {
        ret->type = TOKEN_END;
        return;
    }
    c = *p;
    if (c == '\'' || c == '"' || c == '`') {
        const char *close = token_quoted_end(p, l->end, l->mode);
        ret->type = c == '`' || (c == '"' && l->mode.ansi_quotes) ? TOKEN_NAME : TOKEN_STRING;
        p = close ? close : l->end;
    } else if (isdigit((unsigned char)c) ||
               (c == '.' && p + 1 < l->end && isdigit((unsigned char)p[1]))) {
        ret->type = TOKEN_NUMBER;
        while (p < l->end && (is_word(*p) || *p == '.' ||
                              ((*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'E') &&
                               !(ret->p[0] == '0' && p - ret->p > 1 && ret->p[1] == 'x'))))
            p++;
    } else if (is_word(c)) {
        ret->type = TOKEN_WORD;
        while (p < l->end && is_word(*p))
            p++;
    } else if (c == '@') {
        bool system = p + 1 < l->end && p[1] == '@';
        ret->type = system ? TOKEN_SYSTEM : TOKEN_USER;
        p = variable_end(p + 1 + system, l->end, l->mode);
    } else {
        ret->type = TOKEN_PUNCT;
        p++;
    }
    ret->len = (size_t)(p - ret->p);
    l->p = p;
}

bool token_is_twofold(const char *text, size_t len, struct token_mode mode)
{
    struct lexer l;
    struct token t;

    lexer_init(&l, text, len, mode);
    do
        lexer_next(&l, &t);
    while (t.type != TOKEN_END);
    return l.twofold || l.close;
}

bool token_is(const struct token *t, const char *word)
{
    return t->type == TOKEN_WORD && t->len == strlen(word) && strncasecmp(t->p, word, t->len) == 0;
}

bool token_is_punct(const struct token *t, char c)
{
    return t->type == TOKEN_PUNCT && *t->p == c;
}

char *token_text(const struct token *t, struct token_mode mode)
{
    const char *p = t->p;
    size_t len = t->len;
    bool escapes;
    struct buf b = BUF_INIT;
    char q;

    if (t->type == TOKEN_USER || t->type == TOKEN_SYSTEM) {
        size_t skip = t->type == TOKEN_USER ? 1 : 2;
        p += skip;
        len -= skip;
    }
    if (len < 2 || !strchr("`'\"", *p))
        return xstrndup(p, len);
    q = *p;
    escapes = token_escapes(q, mode);
    for (size_t i = 1; i + 1 < len; i++) {
        if ((p[i] == q && i + 2 < len && p[i + 1] == q) || (p[i] == '\\' && escapes && i + 2 < len))
            i++;
        buf_putc(&b, p[i]);
    }
    return buf_detach(&b);
}
