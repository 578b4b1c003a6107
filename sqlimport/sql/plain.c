/* SPDX-License-Identifier: MIT */
/*
 * Each token is written again as it stands (FORM_RAW), or in backticks (FORM_QUOTED: bare words
 * that servers read in different ways), or the statement is refused (FORM_BAD). Between two tokens
 * stands what stood there (white space), or a blank or line end where comments were; in bodies also
 * comments that are comments for every server. A blank is added where two tokens would become one.
 */
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
        return err_set(
            e, EPERM,
            "a comment, string or name does not end, or servers read it in different ways");
    return err_set(e, EPERM, "a statement holds something that not all servers read alike");
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

/* --- comments of bodies --- */

/*
 * White space and comments between two tokens, where comments are kept. A comment that is kept is
 * one for every server, wherever the text is put: within a versioned comment of a dump, too. So it
 * holds no opener or end of another, and does not begin like SQL or a hint. What is left out leaves
 * a blank.
 */
struct gap {
    struct buf text;
    enum token_charset charset;
    bool comments; /* one is in it */
};

/* Beyond U+FFFF: names have none of these. */
static bool is_utf8_four(const char *p, size_t left)
{
    const unsigned char *c = (const unsigned char *)p;

    return left >= 4 && c[0] >= 0xf0 && c[0] < 0xf5 && (c[1] & 0xc0) == 0x80 &&
           (c[0] != 0xf0 || c[1] >= 0x90) && (c[0] != 0xf4 || c[1] < 0x90) &&
           (c[2] & 0xc0) == 0x80 && (c[3] & 0xc0) == 0x80;
}

static bool is_text(const char *p, size_t len, enum token_charset charset)
{
    for (size_t i = 0, n; i < len; i += n) {
        unsigned char c = (unsigned char)p[i];
        n = 1;
        if ((c < 0x20 && !strchr("\t\n\r", c)) || c == 0 || c == 0x7f)
            return false;
        if (c < 0x80 || charset == TOKEN_SINGLE)
            continue;
        n = is_utf8_four(p + i, len - i) ? 4 : utf8_char(p + i, len - i);
        if (charset == TOKEN_ASCII || n == 0)
            return false;
    }
    return true;
}

static bool keeps_comment(const char *p, size_t len, enum token_charset charset)
{
    bool block = len >= 4 && memcmp(p, "/*", 2) == 0;

    if (!is_text(p, len, charset))
        return false;
    if (!block)
        return p[len - 1] == '\n' && (*p == '#' || strchr(" \t\n", p[2])) &&
               !memmem(p, len, "/*", 2) && !memmem(p, len, "*/", 2);
    return !memmem(p + 2, len - 2, "/*", 2) && p[2] != '!' && p[2] != '+' &&
           !(p[2] == 'M' && p[3] == '!');
}

static void note_gap(void *arg, const char *p, size_t len)
{
    struct gap *g = arg;
    bool blank = p && memchr(" \t\n\v\f\r", *p, 6);

    if (!p || (!blank && !keeps_comment(p, len, g->charset))) {
        buf_putc(&g->text, ' ');
        return;
    }
    g->comments = g->comments || !blank;
    buf_append(&g->text, p, len);
}

/* Behind a token: from[-1] is there. */
static void add_gap(struct buf *out, const struct gap *g, const char *from, const char *to,
                    bool commented)
{
    if (g->comments) {
        if (from[-1] == '*' && *g->text.data == '/') /* the end of a comment around it */
            buf_putc(out, ' ');
        buf_append(out, g->text.data, g->text.len);
    } else if (!commented)
        buf_append(out, from, (size_t)(to - from));
    else
        buf_putc(out, memchr(from, '\n', (size_t)(to - from)) ? '\n' : ' ');
}

/* The word behind which a body comes, in CREATE … PROCEDURE. */
static bool begins_body(const struct token *t)
{
    return token_is(t, "PROCEDURE") || token_is(t, "FUNCTION") || token_is(t, "TRIGGER") ||
           token_is(t, "EVENT");
}

/* A word that stands before it only in a CREATE of something else. */
static bool is_other(const struct token *t)
{
    return token_is(t, "TABLE") || token_is(t, "VIEW") || token_is(t, "SEQUENCE") ||
           token_is(t, "AS") || token_is_punct(t, '(');
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
    struct gap gap = {.charset = mode.charset};
    struct lexer l;
    bool head;
    int r = 0;

    if (len > PLAIN_MAX)
        return err_set(e, EPERM, "a statement other than an INSERT is larger than %zu MB",
                       PLAIN_MAX >> 20);
    lexer_init(&l, text, len, mode);
    lexer_next(&l, &t);
    *ret_versioned = t.versioned;
    head = token_is(&t, "CREATE");
    for (; t.type != TOKEN_END; lexer_next(&l, &t)) {
        enum form form = form_of(&t, mode.charset);

        if (l.bad || form == FORM_BAD || is_glued(&t, &last, behind)) {
            r = unreadable(&l, e);
            break;
        }
        if (last.type != TOKEN_END)
            add_gap(out, &gap, behind, t.p, l.commented);
        buf_clear(&gap.text);
        gap.comments = false;
        if (last.type != TOKEN_END && behind == t.p && joins(&last, last_form, &t, form))
            buf_putc(out, ' ');
        add_token(out, &t, form);
        if (head && begins_body(&t)) {
            l.gap = note_gap;
            l.gap_arg = &gap;
        }
        head = head && !l.gap && !is_other(&t);
        behind = l.p;
        last = t;
        last_form = form;
    }
    if (r == 0 && l.bad)
        r = unreadable(&l, e);
    buf_release(&gap.text);
    return r;
}

int plain_head(const char *text, size_t len, struct token_mode mode, struct err *e)
{
    struct lexer l;
    struct token t;

    lexer_init(&l, text, len, mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        if (l.commented)
            return err_set(e, EPERM, "an INSERT holds a comment before its rows");
        if (l.bad || form_of(&t, mode.charset) == FORM_BAD)
            return unreadable(&l, e);
    }
    return l.bad ? unreadable(&l, e) : 0;
}
