/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/ddl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COLLATIONS_MAX 4096 /* more than any server has: it will say which it does not know */

/* At the word COLLATE: reads on to the name; true when there is one. */
static bool next_collation(struct lexer *l, struct token *t)
{
    lexer_next(l, t);
    if (token_is_punct(t, '='))
        lexer_next(l, t);
    return t->type == TOKEN_WORD || t->type == TOKEN_STRING || t->type == TOKEN_NAME;
}

/* Adds `name` in lower case, once. */
void ddl_add_collation(struct strlist *l, const char *name)
{
    if (l->n >= COLLATIONS_MAX)
        return;
    for (size_t i = 0; i < l->n; i++)
        if (strcasecmp(l->v[i], name) == 0)
            return;
    if (l->n > DDL_COLLATIONS_MAX)
        return;
    strlist_add(l, name);
    for (char *p = l->v[l->n - 1]; *p; p++)
        *p = (char)tolower((unsigned char)*p);
}

void ddl_collations(const char *text, size_t len, struct token_mode mode, struct strlist *ret)
{
    struct lexer l;
    struct token t;

    lexer_init(&l, text, len, mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        char *name;

        if (!token_is(&t, "COLLATE") || !next_collation(&l, &t))
            continue;
        name = token_text(&t, mode);
        if (strcasecmp(name, "DEFAULT") != 0)
            ddl_add_collation(ret, name);
        free(name);
    }
}

void ddl_replace_collation(struct buf *out, const char *text, size_t len, struct token_mode mode,
                           const char *from, const char *to)
{
    const char *done = text;
    struct lexer l;
    struct token t;

    lexer_init(&l, text, len, mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        char *name;

        if (!token_is(&t, "COLLATE") || !next_collation(&l, &t))
            continue;
        name = token_text(&t, mode);
        if (strcasecmp(name, from) == 0) {
            buf_append(out, done, (size_t)(t.p - done));
            buf_puts(out, to);
            done = t.p + t.len;
        }
        free(name);
    }
    buf_append(out, done, (size_t)(text + len - done));
}

/* Behind the user of an account: the end of it with its host. */
static const char *account_end(struct lexer *l)
{
    struct lexer behind = *l;
    struct token t;

    lexer_next(l, &t); /* @host, or @ and the host */
    if (t.type != TOKEN_USER)
        *l = behind;
    else if (t.len == 1)
        lexer_next(l, &t);
    return l->p;
}

void ddl_replace_definer(struct buf *out, const char *text, size_t len, struct token_mode mode)
{
    const char *done = text;
    struct lexer l;
    struct token t;

    lexer_init(&l, text, len, mode);
    for (int i = 0; i < DDL_HEAD_WORDS; i++) {
        lexer_next(&l, &t);
        if (!token_is(&t, "DEFINER"))
            continue;
        lexer_next(&l, &t);
        if (!token_is_punct(&t, '='))
            continue;
        buf_append(out, done, (size_t)(l.p - done));
        lexer_next(&l, &t);
        done = account_end(&l);
        buf_puts(out, "CURRENT_USER");
        break;
    }
    buf_append(out, done, (size_t)(text + len - done));
}
