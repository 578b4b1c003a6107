/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/syntax.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

void syntax_init(struct syntax *s, const char *text, size_t len, struct token_mode mode,
                 struct err *e)
{
    *s = (struct syntax){.begin = text, .e = e};
    lexer_init(&s->l, text, len, mode);
    syntax_next(s);
}

void syntax_next(struct syntax *s)
{
    lexer_next(&s->l, &s->t);
}

bool syntax_is(const struct syntax *s, const char *word)
{
    return token_is(&s->t, word);
}

bool syntax_is_punct(const struct syntax *s, char c)
{
    return token_is_punct(&s->t, c);
}

bool syntax_is_name(const struct syntax *s)
{
    return s->t.type == TOKEN_WORD || s->t.type == TOKEN_NAME;
}

struct token syntax_peek(const struct syntax *s)
{
    struct lexer l = s->l;
    struct token t;

    lexer_next(&l, &t);
    return t;
}

bool syntax_is_called(const struct syntax *s, const char *word)
{
    struct token behind;
    char *name;
    bool is;

    if (s->t.type != TOKEN_NAME)
        return token_is(&s->t, word);
    behind = syntax_peek(s);
    if (!token_is_punct(&behind, '('))
        return false;
    name = token_text(&s->t, s->l.mode);
    is = strcasecmp(name, word) == 0;
    free(name);
    return is;
}

bool syntax_take(struct syntax *s, const char *word)
{
    if (!token_is(&s->t, word))
        return false;
    syntax_next(s);
    return true;
}

bool syntax_take_two(struct syntax *s, const char *first, const char *second)
{
    struct token t = syntax_peek(s);

    if (!token_is(&s->t, first) || !token_is(&t, second))
        return false;
    syntax_next(s);
    syntax_next(s);
    return true;
}

bool syntax_take_punct(struct syntax *s, char c)
{
    if (!token_is_punct(&s->t, c))
        return false;
    syntax_next(s);
    return true;
}

bool syntax_take_type(struct syntax *s, enum token_type type)
{
    if (s->t.type != type)
        return false;
    syntax_next(s);
    return true;
}

bool syntax_take_any(struct syntax *s, const char *const *words)
{
    for (; *words; words++)
        if (syntax_take(s, *words))
            return true;
    return false;
}

bool syntax_take_name(struct syntax *s)
{
    struct token behind = syntax_peek(s);

    if (!syntax_is_name(s) || token_is_punct(&behind, '.'))
        return false;
    syntax_next(s);
    return true;
}

int syntax_refuse(struct syntax *s, const char *what)
{
    if (s->e && s->e->text[0])
        return -EPERM;
    return err_set(s->e, EPERM, "%s (character %zu of the statement without its comments)", what,
                   (size_t)(s->t.p - s->begin) + 1);
}
