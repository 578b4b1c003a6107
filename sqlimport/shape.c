/* SPDX-License-Identifier: MIT */
#include "sqlimport/shape.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

struct reading {
    struct shape *s;
    struct lexer l;
    struct token t;
};

static void next(struct reading *r)
{
    lexer_next(&r->l, &r->t);
}

static void add_name(struct strlist *to, const struct reading *r)
{
    char *name = token_text(&r->t, r->l.mode);

    strlist_add(to, name);
    free(name);
}

static bool begins_key(const struct token *t)
{
    static const char *const words[] = {"PRIMARY", "UNIQUE",     "KEY",     "INDEX", "FULLTEXT",
                                        "SPATIAL", "CONSTRAINT", "FOREIGN", "CHECK", "PERIOD"};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (token_is(t, words[i]))
            return true;
    return false;
}

/* One column or key, up to the ',' or ')' that ends it. */
static void read_item(struct reading *r)
{
    bool primary = token_is(&r->t, "PRIMARY"), first = false, partial = false;
    int depth = 0;

    if (r->t.type == TOKEN_NAME || (r->t.type == TOKEN_WORD && !begins_key(&r->t)))
        add_name(&r->s->columns, r);
    for (; r->t.type != TOKEN_END; next(r)) {
        if (depth == 0 && (token_is_punct(&r->t, ',') || token_is_punct(&r->t, ')')))
            break;
        if (first && (r->t.type == TOKEN_NAME || r->t.type == TOKEN_WORD))
            add_name(&r->s->key, r);
        if (token_is(&r->t, "INVISIBLE"))
            r->s->hidden = true;
        if (token_is_punct(&r->t, '('))
            depth++;
        else if (token_is_punct(&r->t, ')'))
            depth--;
        /* A key over a part of a column, `a`(10), tells no row for sure. */
        partial = partial || (primary && depth > 1);
        first = primary && depth == 1 && (token_is_punct(&r->t, '(') || token_is_punct(&r->t, ','));
    }
    if (partial)
        strlist_release(&r->s->key);
}

static void read_options(struct reading *r, const char **hashed, struct hash_stream *hs)
{
    while (r->t.type != TOKEN_END) {
        if (token_is(&r->t, "ENGINE")) {
            next(r);
            if (token_is_punct(&r->t, '='))
                next(r);
            free(r->s->engine);
            r->s->engine = token_text(&r->t, r->l.mode);
        } else if (token_is(&r->t, "VERSIONING")) {
            strlist_release(&r->s->key); /* a deleted row stays as history */
        } else if (token_is(&r->t, "AUTO_INCREMENT")) {
            const char *from = r->t.p;
            next(r);
            if (token_is_punct(&r->t, '='))
                next(r);
            if (r->t.type != TOKEN_NUMBER)
                continue;
            r->s->auto_increment = strtoull(r->t.p, NULL, 10);
            hash_stream_add(hs, *hashed, (size_t)(from - *hashed));
            *hashed = r->l.p;
            while (*hashed < r->l.end && **hashed == ' ')
                ++*hashed;
        }
        next(r);
    }
}

void shape_read(struct shape *ret, const char *text, size_t len, struct token_mode mode)
{
    struct reading r = {.s = ret};
    struct hash_stream *hs = hash_stream_new();
    const char *hashed = text;

    memset(ret, 0, sizeof(*ret));
    ret->engine = xstrdup("");
    lexer_init(&r.l, text, len, mode);
    next(&r);
    while (r.t.type != TOKEN_END && !token_is_punct(&r.t, '('))
        next(&r);
    do {
        next(&r);
        read_item(&r);
    } while (token_is_punct(&r.t, ','));
    next(&r);
    read_options(&r, &hashed, hs);
    hash_stream_add(hs, hashed, (size_t)(text + len - hashed));
    hash_stream_end(hs, &ret->hash);
    hash_stream_free(hs);
}

void shape_release(struct shape *s)
{
    strlist_release(&s->columns);
    strlist_release(&s->key);
    free(s->engine);
    s->engine = NULL;
}
