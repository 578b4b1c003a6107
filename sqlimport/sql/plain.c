/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/plain.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* How a token goes on. */
enum form {
    FORM_RAW,
    FORM_QUOTED, /* a bare word, in backticks */
    FORM_BAD,
};

static bool is_ascii(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] & 0x80)
            return false;
    return true;
}

/* Length of the character at p in UTF-8, up to U+FFFF as names have them; 0: it is none. */
static size_t utf8_char(const char *p, size_t left)
{
    const unsigned char *c = (const unsigned char *)p;

    if (c[0] < 0x80)
        return 1;
    if (c[0] >= 0xc2 && c[0] < 0xe0 && left >= 2 && (c[1] & 0xc0) == 0x80)
        return 2;
    if (c[0] >= 0xe0 && c[0] < 0xf0 && left >= 3 && (c[1] & 0xc0) == 0x80 &&
        (c[2] & 0xc0) == 0x80 && (c[0] != 0xe0 || c[1] >= 0xa0))
        return 3;
    return 0;
}

static bool name_is_plain(const char *p, size_t len, enum token_charset charset)
{
    if (memchr(p, '\0', len) || (charset == TOKEN_ASCII && !is_ascii(p, len)))
        return false;
    for (size_t i = 0, n; charset == TOKEN_UTF8 && i < len; i += n)
        if ((n = utf8_char(p + i, len - i)) == 0)
            return false;
    return true;
}

static const char *digits(const char *p, const char *end, int (*is)(int))
{
    while (p < end && is((unsigned char)*p))
        p++;
    return p;
}

static bool number_is_plain(const char *p, size_t len)
{
    const char *end = p + len, *start = p;

    if (len > 2 && p[0] == '0' && p[1] == 'x')
        return digits(p + 2, end, isxdigit) == end;
    if (len > 2 && p[0] == '0' && p[1] == 'b')
        return strspn(p + 2, "01") >= len - 2;
    p = digits(p, end, isdigit);
    if (p < end && *p == '.')
        p = digits(p + 1, end, isdigit);
    if (p < end && p > start && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        start = p;
        p = digits(p, end, isdigit);
        return p == end && p > start;
    }
    return p == end;
}

/* A bare name that begins with digits: 2fa_tokens. What is hexadecimal or has an exponent for some
 * servers is none. */
static bool number_is_name(const char *p, size_t len)
{
    const char *end = p + len, *letter = digits(p, end, isdigit);

    if (letter == p || letter == end || strchr("eE.", *letter) ||
        (letter == p + 1 && *p == '0' && strchr("xXbB", *letter)))
        return false;
    for (p = letter; p < end; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '$' && !(*p & 0x80))
            return false;
    return true;
}

/* `name` under ANSI_QUOTES or not, @name and @`name`; @@name. */
static enum form variable_form(const struct token *t, enum token_charset charset)
{
    const char *p = t->p + 1;
    size_t len = t->len - 1;

    if (t->type == TOKEN_SYSTEM)
        return len > 1 && p[1] != '`' && p[1] != '\'' && p[1] != '"' && is_ascii(p, len) ? FORM_RAW
                                                                                         : FORM_BAD;
    if (len > 0 && (*p == '`' || *p == '\'' || *p == '"'))
        return name_is_plain(p, len, charset) ? FORM_RAW : FORM_BAD;
    return is_ascii(p, len) ? FORM_RAW : FORM_BAD;
}

static enum form form_of(const struct token *t, enum token_charset charset)
{
    switch (t->type) {
    case TOKEN_WORD:
        if (is_ascii(t->p, t->len))
            return FORM_RAW;
        return name_is_plain(t->p, t->len, charset) ? FORM_QUOTED : FORM_BAD;
    case TOKEN_NAME:
        return name_is_plain(t->p, t->len, charset) ? FORM_RAW : FORM_BAD;
    case TOKEN_STRING:
        return FORM_RAW;
    case TOKEN_NUMBER:
        if (number_is_plain(t->p, t->len))
            return FORM_RAW;
        return number_is_name(t->p, t->len) && name_is_plain(t->p, t->len, charset) ? FORM_QUOTED
                                                                                    : FORM_BAD;
    case TOKEN_USER:
    case TOKEN_SYSTEM:
        return variable_form(t, charset);
    case TOKEN_PUNCT:
    case TOKEN_END:
        break;
    }
    return t->len == 1 && strchr("(),.;:=<>+-*/%&|^~!", *t->p) && *t->p ? FORM_RAW : FORM_BAD;
}

static int unreadable(const struct lexer *l, struct err *e)
{
    if (l->bad)
        return err_set(e, EPERM,
                       "a comment, string or name does not end, or servers read it in different "
                       "ways");
    return err_set(e, EPERM, "something stands in a statement that cannot be read for sure");
}

/* Behind a name, .5 is the second half of another name for a server, and a number for us. */
static bool is_glued(const struct token *t, const struct token *last, const char *behind)
{
    return t->type == TOKEN_NUMBER && *t->p == '.' && behind == t->p &&
           (last->type == TOKEN_WORD || last->type == TOKEN_NAME || last->type == TOKEN_USER ||
            last->type == TOKEN_SYSTEM);
}

/* Two tokens that were read as two would be one when they are written side by side: a quote that is
 * added beside another one; two minus signs, with what comes behind them, are a comment. */
static bool joins(const struct token *a, enum form a_form, const struct token *b, enum form b_form)
{
    bool quoted = (a_form == FORM_QUOTED && b->type != TOKEN_PUNCT) ||
                  (b_form == FORM_QUOTED && a->type != TOKEN_PUNCT);

    return quoted || (token_is_punct(a, '-') && token_is_punct(b, '-'));
}

static void add_gap(struct buf *out, const char *from, const char *to, bool commented)
{
    if (!commented)
        buf_append(out, from, (size_t)(to - from));
    else
        buf_putc(out, memchr(from, '\n', (size_t)(to - from)) ? '\n' : ' ');
}

static void add_token(struct buf *out, const struct token *t, enum form form)
{
    if (form == FORM_QUOTED)
        buf_putc(out, '`');
    buf_append(out, t->p, t->len);
    if (form == FORM_QUOTED)
        buf_putc(out, '`');
}

int plain_text(struct buf *out, const char *text, size_t len, struct token_mode mode,
               bool *ret_versioned, struct err *e)
{
    struct token t, last = {.type = TOKEN_END};
    enum form last_form = FORM_RAW;
    const char *behind = text;
    struct lexer l;

    if (len > PLAIN_MAX)
        return err_set(e, EPERM, "a statement that is no INSERT is larger than %zu MB",
                       PLAIN_MAX >> 20);
    lexer_init(&l, text, len, mode);
    lexer_next(&l, &t);
    *ret_versioned = t.versioned;
    for (; t.type != TOKEN_END; lexer_next(&l, &t)) {
        enum form form = form_of(&t, mode.charset);

        if (l.bad || form == FORM_BAD || is_glued(&t, &last, behind))
            return unreadable(&l, e);
        if (last.type != TOKEN_END)
            add_gap(out, behind, t.p, l.commented);
        if (last.type != TOKEN_END && behind == t.p && joins(&last, last_form, &t, form))
            buf_putc(out, ' ');
        add_token(out, &t, form);
        behind = l.p;
        last = t;
        last_form = form;
    }
    return l.bad ? unreadable(&l, e) : 0;
}

int plain_head(const char *text, size_t len, struct token_mode mode, struct err *e)
{
    struct lexer l;
    struct token t;

    lexer_init(&l, text, len, mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        if (l.commented)
            return err_set(e, EPERM, "a comment stands within an INSERT");
        if (l.bad || form_of(&t, mode.charset) == FORM_BAD)
            return unreadable(&l, e);
    }
    return l.bad ? unreadable(&l, e) : 0;
}
