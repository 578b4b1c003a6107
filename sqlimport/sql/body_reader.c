/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/body_reader.h"

#include <errno.h>

int body_refuse(struct body *b, const char *what)
{
    return err_set(b->s.e, EPERM, "%s", what);
}

void body_next(struct body *b)
{
    b->last[2] = b->last[1];
    b->last[1] = b->last[0];
    b->last[0] = b->s.t;
    syntax_next(&b->s);
}

bool body_is(const struct body *b, const char *word)
{
    return syntax_is(&b->s, word);
}

bool body_is_any(const struct body *b, const char *const *words)
{
    for (; *words; words++)
        if (body_is(b, *words))
            return true;
    return false;
}

struct level *body_level(struct body *b)
{
    return &b->levels[b->depth];
}

void body_expect(struct body *b, enum place place, bool tables)
{
    body_level(b)->place = place;
    body_level(b)->tables = tables;
}

bool body_was(const struct body *b, const char *word)
{
    return token_is(&b->last[0], word);
}
