/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/table_def.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

struct reading {
    struct table_def *s;
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

static bool is_one_of(const struct token *t, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (token_is(t, words[i]))
            return true;
    return false;
}

/* A word behind a column's name says that its values are not free. */
static bool binds(const struct token *t)
{
    static const char *const words[] = {"GENERATED", "AS", "UNIQUE", "PRIMARY", "REFERENCES"};

    return is_one_of(t, words, sizeof(words) / sizeof(*words));
}

/* One column or key, up to the ',' or ')' that ends it. */
static void read_item(struct reading *r)
{
    static const char *const strict[] = {"PRIMARY", "UNIQUE", "FOREIGN"};
    bool primary = token_is(&r->t, "PRIMARY"), first = false, partial = false, key = false;
    bool column = r->t.type == TOKEN_NAME || (r->t.type == TOKEN_WORD && !begins_key(&r->t));
    size_t n = r->s->bound.n;
    int depth = 0, lists = 0;

    if (column)
        add_name(&r->s->columns, r);
    for (; r->t.type != TOKEN_END; next(r)) {
        if (depth == 0 && (token_is_punct(&r->t, ',') || token_is_punct(&r->t, ')')))
            break;
        if (first && (r->t.type == TOKEN_NAME || r->t.type == TOKEN_WORD)) {
            if (primary)
                add_name(&r->s->key, r);
            add_name(&r->s->bound, r);
        }
        if (token_is(&r->t, "INVISIBLE"))
            r->s->hidden = true;
        key = key || (!column && depth == 0 && is_one_of(&r->t, strict, 3));
        if (column && depth == 0 && r->s->bound.n == n && binds(&r->t))
            strlist_add(&r->s->bound, r->s->columns.v[r->s->columns.n - 1]);
        if (token_is_punct(&r->t, '('))
            lists += depth++ == 0;
        else if (token_is_punct(&r->t, ')'))
            depth--;
        /* A key over a part of a column, `a`(10), tells no row for sure. */
        partial = partial || (primary && depth > 1);
        first = key && lists == 1 && depth == 1 &&
                (token_is_punct(&r->t, '(') || token_is_punct(&r->t, ','));
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

void table_def_read(struct table_def *ret, const char *text, size_t len, struct token_mode mode)
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

void table_def_release(struct table_def *s)
{
    strlist_release(&s->columns);
    strlist_release(&s->key);
    strlist_release(&s->bound);
    free(s->engine);
    s->engine = NULL;
}
