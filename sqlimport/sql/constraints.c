/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/constraints.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

/* The table behind REFERENCES, when no schema stands before it. */
static void read_parent(struct constraint *c, struct token_mode mode)
{
    struct lexer l;
    struct token t, behind;

    lexer_init(&l, c->clause, strlen(c->clause), mode);
    do
        lexer_next(&l, &t);
    while (t.type != TOKEN_END && !token_is(&t, "REFERENCES"));
    lexer_next(&l, &t);
    lexer_next(&l, &behind);
    if ((t.type != TOKEN_NAME && t.type != TOKEN_WORD) || token_is_punct(&behind, '.'))
        return;
    c->parent = token_text(&t, mode);
    c->parent_at = (size_t)(t.p - c->clause);
}

/* At CONSTRAINT: reads one, up to the ',' or ')' that ends it, which is left in *t. What MySQL
 * shows in a versioned comment ("NOT ENFORCED") is read without it. */
static void read_one(struct constraints *ret, struct lexer *l, struct token *t)
{
    const char *end = NULL; /* of the clause's last token */
    bool check = false, known = false;
    struct buf clause = BUF_INIT;
    char *name = NULL;
    int depth = 0;

    lexer_next(l, t);
    if (t->type == TOKEN_NAME || t->type == TOKEN_WORD)
        name = token_text(t, l->mode);
    for (lexer_next(l, t); t->type != TOKEN_END; lexer_next(l, t)) {
        if (depth == 0 && (token_is_punct(t, ',') || token_is_punct(t, ')')))
            break;
        if (!end) {
            check = token_is(t, "CHECK");
            known = check || token_is(t, "FOREIGN");
        } else if (l->commented) {
            buf_putc(&clause, ' ');
        } else {
            buf_append(&clause, end, (size_t)(t->p - end));
        }
        buf_append(&clause, t->p, t->len);
        depth += token_is_punct(t, '(') - token_is_punct(t, ')');
        end = t->p + t->len;
    }
    if (name && known) {
        ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(*ret->v));
        ret->v[ret->n++] = (struct constraint){
            .name = xstrdup(name), .check = check, .clause = buf_detach(&clause)};
        if (!check)
            read_parent(&ret->v[ret->n - 1], l->mode);
    }
    buf_release(&clause);
    free(name);
}

void constraints_read(struct constraints *ret, const char *text, size_t len, struct token_mode mode)
{
    struct lexer l;
    struct token t;
    int depth = 0;
    bool begins = false;

    memset(ret, 0, sizeof(*ret));
    lexer_init(&l, text, len, mode);
    for (lexer_next(&l, &t); t.type != TOKEN_END; lexer_next(&l, &t)) {
        if (begins && token_is(&t, "CONSTRAINT"))
            read_one(ret, &l, &t);
        depth += token_is_punct(&t, '(') - token_is_punct(&t, ')');
        if (depth == 0 && token_is_punct(&t, ')'))
            break; /* options follow */
        begins = depth == 1 && (token_is_punct(&t, '(') || token_is_punct(&t, ','));
    }
}

void constraints_release(struct constraints *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->v[i].name);
        free(c->v[i].clause);
        free(c->v[i].parent);
    }
    free(c->v);
    memset(c, 0, sizeof(*c));
}

bool constraint_follows(const struct constraint *c, const char *table)
{
    const char *infix = c->check ? "_chk_" : "_ibfk_";
    size_t len = strlen(table);

    return strncasecmp(c->name, table, len) == 0 &&
           strncmp(c->name + len, infix, strlen(infix)) == 0;
}
