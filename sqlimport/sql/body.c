/* SPDX-License-Identifier: MIT */
/*
 * One pass over the tokens, which follows the grammar just so far that it knows
 *
 *  - where a statement begins (body_statements.h: a stack of blocks),
 *  - and what each name is (body_names.h: a stack of levels, one for each bracket).
 *
 * It dispatches each token to them; brackets, commas and ends of statements are its own.
 */
#include "sqlimport/sql/body.h"

#include <errno.h>
#include <stdlib.h>

#include "sqlimport/sql/body_names.h"
#include "sqlimport/sql/body_statements.h"
#include "sync/common/buf.h"

/* --- brackets, commas, ends --- */

static int open_bracket(struct body *b)
{
    bool tables = body_level(b)->place == PLACE_TABLE;

    if (b->depth + 1 == BODY_DEPTH_MAX)
        return body_refuse(b, "is too deep");
    b->levels[++b->depth] = (struct level){
        .place = tables ? PLACE_TABLE : PLACE_VALUE,
        .tables = tables,
    };
    body_next(b);
    return 0;
}

static int close_bracket(struct body *b)
{
    if (b->depth == 0)
        return body_refuse(b, "closes a bracket that it did not open");
    b->depth--;
    if (body_level(b)->place == PLACE_TABLE)
        body_level(b)->place = PLACE_AFTER;
    body_next(b);
    return 0;
}

static int end_statement(struct body *b)
{
    if (b->depth > 0)
        return body_refuse(b, "ends a statement within brackets");
    body_next(b);
    if (b->n_blocks == 0 && b->s.t.type != TOKEN_END)
        return body_refuse(b, "holds a second statement");
    body_begin_statement(b);
    return 0;
}

static int punct(struct body *b)
{
    if (syntax_is_punct(&b->s, '('))
        return open_bracket(b);
    if (syntax_is_punct(&b->s, ')'))
        return close_bracket(b);
    if (syntax_is_punct(&b->s, ';'))
        return b->view ? body_refuse(b, "is a view of several statements") : end_statement(b);
    if (syntax_is_punct(&b->s, '.'))
        return body_refuse(b, "holds a name that cannot be read for sure");
    if (syntax_is_punct(&b->s, ',')) {
        if (body_level(b)->tables)
            body_level(b)->place = PLACE_TABLE;
        b->target = b->set && b->depth == 0;
    }
    body_next(b);
    return 0;
}

/*
 * WHEN, THEN and ELSE are reserved words: of the innermost CASE that gives a value, or where the
 * blocks say that they may stand. 1: a statement begins behind it; 0: it is passed over.
 */
static int structure(struct body *b)
{
    bool head = b->head && b->depth == 0;

    if (body_top_block(b) == BLOCK_CASE_VALUE)
        return 0;
    if (body_is(b, "DO"))
        return head && body_top_block(b) == BLOCK_LOOP;
    if (body_is(b, "WHEN") && head && body_top_block(b) == BLOCK_CASE)
        return 0;
    if (body_is(b, "THEN") && head &&
        (body_top_block(b) == BLOCK_IF || body_top_block(b) == BLOCK_CASE))
        return 1;
    return body_refuse(b, "is not built as a statement must be");
}

static bool is_structure(const struct body *b)
{
    static const char *const words[] = {"WHEN", "THEN", "ELSE", "DO", NULL};

    return body_is_any(b, words);
}

/* An END that is no name: of a CASE that gives a value, or behind UNTIL. */
static bool ends_value(const struct body *b)
{
    return body_is(b, "END") && b->n_blocks > 0 &&
           (body_top_block(b) == BLOCK_CASE_VALUE ||
            (b->until && body_top_block(b) == BLOCK_LOOP && b->depth == 0));
}

static int one(struct body *b)
{
    int r;

    if (b->start && b->s.t.type != TOKEN_WORD && b->s.t.type != TOKEN_NAME &&
        !syntax_is_punct(&b->s, '('))
        return body_refuse(b, "holds a statement that an import does not know");
    if (b->start)
        return body_statement(b);
    if (b->target) {
        b->target = false;
        r = body_check_target(b);
        if (r < 0)
            return r;
        /* SESSION and LOCAL stand before the variable. */
        b->target = body_is(b, "SESSION") || body_is(b, "LOCAL");
    }
    if (is_structure(b)) {
        r = structure(b);
        if (r >= 0)
            body_next(b);
        if (r == 1)
            body_begin_statement(b);
        return r < 0 ? r : 0;
    }
    if (ends_value(b))
        return body_end_block(b);
    if (b->s.t.type == TOKEN_WORD)
        return body_word(b);
    if (b->s.t.type == TOKEN_NAME)
        return body_name(b);
    if (b->s.t.type == TOKEN_PUNCT)
        return punct(b);
    if (b->s.t.type == TOKEN_USER && b->s.t.len == 1)
        return body_refuse(b, "holds a name that cannot be read for sure");
    if (body_level(b)->place == PLACE_TABLE)
        body_level(b)->place = PLACE_AFTER;
    body_next(b);
    return 0;
}

int body_check(const char *text, size_t len, struct token_mode mode, bool view,
               const char *database, struct err *e)
{
    struct body *b = xcalloc(1, sizeof(*b));
    int r = 0;

    b->database = database;
    b->view = view;
    b->start = !view;
    syntax_init(&b->s, text, len, mode, e);
    while (r == 0 && b->s.t.type != TOKEN_END)
        r = one(b);
    if (r == 0 && (b->n_blocks > 0 || b->depth > 0))
        r = body_refuse(b, "does not end");
    free(b);
    return r;
}
