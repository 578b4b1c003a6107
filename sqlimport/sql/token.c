/* SPDX-License-Identifier: MIT */
/*
 *     lexer_next: skip white space and comments ─> first byte ─> word, name, string, number, variable,
 *                   │                                            or one byte
 *                   └─ versioned comment, which this server reads:    skip only its opener and end
 *                                         which it does not read:     skip all of it
 *
 * `bad` is set where servers disagree, or something does not end; the caller refuses then.
 */
#include "sqlimport/sql/token.h"

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
    l->versioned = l->commented = l->bad = false;
    l->gap = NULL;
    l->gap_arg = NULL;
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

/* Behind the end of a comment whose inside begins at p; NULL: it does not end. One that is skipped
 * for its version may hold others, which hold none. */
static const char *comment_end(const char *p, const char *end, bool nests)
{
    for (const char *from = p; (p = memchr(p, '*', (size_t)(end - p)));) {
        if (nests && p > from && p[-1] == '/') {
            p = from = comment_end(p + 1, end, false);
            if (!p)
                return NULL;
        } else if (++p < end && *p == '/') {
            return p + 1;
        }
    }
    return NULL;
}

/* A server of this dialect reads a comment of this version. */
static bool reads(const struct dialect *d, unsigned long version, bool maria)
{
    if (d->version == 0)
        return version != 999999; /* the sandbox marker */
    if (d->mariadb && !maria && version >= 50700 && version <= 99999)
        return false;
    return version <= d->version;
}

/* At a slash and star: passes over the comment, or over the opener of one that is read. True: it is
 * a comment for every server. */
static bool comment(struct lexer *l)
{
    const struct dialect *d = &l->mode.dialect;
    const char *p = l->p + 2;
    bool maria = l->end - p >= 2 && p[0] == 'M' && p[1] == '!' && (d->mariadb || d->version == 0);
    bool versioned = maria || (p < l->end && *p == '!');
    unsigned long version = 0, five = 0;
    int n = 0;

    if (versioned) {
        p += maria ? 2 : 1;
        for (; n < 6 && p + n < l->end && isdigit((unsigned char)p[n]); n++) {
            five = version;
            version = version * 10 + (unsigned long)(p[n] - '0');
        }
        if (n < 5 || reads(d, version, maria)) {
            /* A MySQL before 8.0.34 takes five digits. */
            l->bad = l->bad || (n == 6 && !d->mariadb && d->version != 0);
            l->p = p + (n < 5 ? 0 : n);
            l->versioned = true;
            return false;
        }
        l->bad = l->bad || (n == 6 && !d->mariadb && d->version != 0 && reads(d, five, maria));
    }
    p = comment_end(p, l->end, versioned);
    l->bad = l->bad || !p;
    l->p = p ? p : l->end;
    return !versioned;
}

static bool is_line_comment(const char *p, const char *end)
{
    return *p == '#' ||
           (end - p >= 2 && p[0] == '-' && p[1] == '-' &&
            (end - p == 2 || isspace((unsigned char)p[2]) || iscntrl((unsigned char)p[2])));
}

static void tell_gap(struct lexer *l, const char *from, bool keeps)
{
    if (l->gap && l->p > from)
        l->gap(l->gap_arg, keeps ? from : NULL, (size_t)(l->p - from));
}

/* Skips white space and comments. */
static void skip_blank(struct lexer *l)
{
    l->commented = false;
    for (; l->p < l->end; l->commented = true) {
        const char *from = l->p;
        bool keeps = true;
        size_t left;

        while (l->p < l->end && isspace((unsigned char)*l->p))
            l->p++;
        tell_gap(l, from, true);
        from = l->p;
        left = (size_t)(l->end - l->p);
        if (left >= 2 && memcmp(l->p, "/*", 2) == 0) {
            keeps = comment(l);
        } else if (l->versioned && left >= 2 && memcmp(l->p, "*/", 2) == 0) {
            l->p += 2;
            l->versioned = keeps = false;
        } else if (left > 0 && is_line_comment(l->p, l->end)) {
            const char *nl = memchr(l->p, '\n', left), *behind = nl ? nl + 1 : l->end;
            l->bad =
                l->bad || memchr(l->p, '\0', (size_t)(behind - l->p)); /* ends it for servers */
            l->p = behind;
        } else {
            break;
        }
        tell_gap(l, from, keeps);
    }
    l->bad = l->bad || (l->p >= l->end && l->versioned);
}

static const char *variable_end(struct lexer *l, const char *p)
{
    const char *close;

    if (p < l->end && (*p == '`' || *p == '\'' || *p == '"')) {
        close = token_quoted_end(p, l->end, l->mode);
        l->bad = l->bad || !close;
        return close ? close : l->end;
    }
    while (p < l->end && (is_word(*p) || *p == '.'))
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
        l->bad = l->bad || !close;
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
        p = variable_end(l, p + 1 + system);
    } else {
        ret->type = TOKEN_PUNCT;
        p++;
    }
    ret->len = (size_t)(p - ret->p);
    l->p = p;
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
