/* SPDX-License-Identifier: MIT */
/*
 * a.b is a table b in database a where a table is expected, and else a column b of table a. Levels,
 * one for each bracket, say what is expected:
 *
 *      SELECT t.x FROM a.b JOIN c.d ON c.d.x = t.x , e.f WHERE t.y = (SELECT …)
 *      ^ column   ^ table  ^ table     ^ column      ^ table   ^ column ^ a level of its own
 *
 * Words that end a list of tables must be reserved ones on all servers: any other may be an alias
 * in the list, which then goes on. In doubt, a table is expected.
 */
#include "sqlimport/sql/body_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/grammar_parts.h"

/* --- names --- */

/* Another database; information_schema shows everybody only what is his. */
static int check_database(struct body *b, const struct token *t)
{
    char *name = token_text(t, b->s.l.mode);
    int r = 0;

    if (strcmp(name, b->database) != 0 && strcasecmp(name, "information_schema") != 0)
        r = err_set(b->s.e, EPERM, "names another database ('%.64s')", name);
    free(name);
    return r;
}

/* Behind NEXT VALUE FOR, or in NEXTVAL( and its like, or behind ROW TYPE OF. */
static bool is_named_otherwise(const struct body *b)
{
    static const char *const functions[] = {"NEXTVAL", "LASTVAL", "SETVAL", NULL};
    const struct token *l = b->last;
    char *function;
    bool is = false;

    if (token_is(&l[0], "FOR") && token_is(&l[1], "VALUE"))
        return true;
    if (token_is(&l[0], "OF") && token_is(&l[1], "TYPE") && token_is(&l[2], "ROW"))
        return true;
    if (!token_is_punct(&l[0], '(') || (l[1].type != TOKEN_WORD && l[1].type != TOKEN_NAME))
        return false;
    function = token_text(&l[1], b->s.l.mode);
    for (const char *const *f = functions; *f; f++)
        is = is || strcasecmp(function, *f) == 0;
    free(function);
    return is;
}

/* a.b%ROWTYPE */
static bool is_row_type(const struct body *b)
{
    struct token behind = syntax_peek(&b->s);

    return syntax_is_punct(&b->s, '%') && token_is(&behind, "ROWTYPE");
}

/* a.b, a.b.c, a.b.*: at the first name, with a '.' behind it. */
static int chain(struct body *b)
{
    bool table = body_level(b)->place == PLACE_TABLE || b->ddl || is_named_otherwise(b);
    struct token first = b->s.t;
    bool star = false;
    int parts = 1;

    if (body_level(b)->place == PLACE_AFTER)
        return body_refuse(b, "holds a name that cannot be read for sure");
    body_next(b);
    while (syntax_is_punct(&b->s, '.') && !star) {
        body_next(b);
        star = syntax_is_punct(&b->s, '*');
        if (!syntax_is_name(&b->s) && !star)
            return body_refuse(b, "holds a name that cannot be read for sure");
        body_next(b);
        parts++;
    }
    if (parts > 3)
        return body_refuse(b, "holds a name that cannot be read for sure");
    table = (table && !star) || syntax_is_punct(&b->s, '(') || is_row_type(b);
    if (body_level(b)->place == PLACE_TABLE)
        body_level(b)->place = PLACE_AFTER;
    return parts == 3 || table ? check_database(b, &first) : 0;
}

int body_name(struct body *b)
{
    struct token behind = syntax_peek(&b->s);

    if (syntax_is_called(&b->s, "LOAD_FILE"))
        return body_refuse(b, "reads a file (LOAD_FILE)");
    if (token_is_punct(&behind, '.'))
        return chain(b);
    if (body_level(b)->place == PLACE_TABLE)
        body_level(b)->place = PLACE_AFTER;
    body_next(b);
    return 0;
}

/* --- words within a statement --- */

/* Words behind which tables stand; true: it was one. */
static bool leads_to_tables(struct body *b)
{
    static const char *const always[] = {"JOIN", "TABLE", "USING", NULL};
    static const char *const changes[] = {"INSERT", "REPLACE", "DELETE", NULL};
    struct token behind = syntax_peek(&b->s);
    struct level *v = body_level(b);

    if (body_is(b, "FROM") && !v->query)
        return false; /* EXTRACT(YEAR FROM x) */
    if (body_is(b, "STRAIGHT_JOIN") && !v->tables)
        return false; /* SELECT STRAIGHT_JOIN … */
    if (body_is(b, "UPDATE") && (body_was(b, "KEY") || body_was(b, "FOR") || body_was(b, "ON"))) {
        if (body_was(b, "KEY"))
            body_expect(b, PLACE_VALUE, false); /* ON DUPLICATE KEY UPDATE */
        return false;
    }
    if (body_is_any(b, changes)) {
        if (body_was(b, "ON") || token_is_punct(&behind, '('))
            return false;
        v->query = v->query || body_is(b, "DELETE");
    } else if (!body_is(b, "FROM") && !body_is(b, "STRAIGHT_JOIN") && !body_is(b, "UPDATE") &&
               !body_is_any(b, always)) {
        return false;
    }
    body_expect(b, PLACE_TABLE, true);
    return true;
}

/* Behind these no table stands any more. */
static bool ends_tables(const struct body *b)
{
    static const char *const words[] = {"WHERE", "HAVING", "LIMIT", "UNION", NULL};

    if (body_is(b, "GROUP") || body_is(b, "ORDER")) /* USE INDEX FOR ORDER BY (…) goes on */
        return !body_was(b, "FOR") && !body_was(b, "WITHIN");
    if (body_is(b, "SET"))
        return !body_was(b, "CHARACTER") && !body_was(b, "CHAR");
    if (body_is(b, "VALUES")) /* not the function in a condition */
        return b->levels[b->depth].place == PLACE_AFTER;
    return body_is_any(b, words);
}

static int into(struct body *b)
{
    struct token behind = syntax_peek(&b->s);

    if (token_is(&behind, "OUTFILE") || token_is(&behind, "DUMPFILE"))
        return body_refuse(b, "writes a file (INTO OUTFILE)");
    if (b->view)
        return body_refuse(b, "is a view with INTO");
    if (body_level(b)->place != PLACE_TABLE) /* variables; INSERT INTO expects a table already */
        body_expect(b, PLACE_VALUE, false);
    body_next(b);
    return 0;
}

static int engine(struct body *b)
{
    char *engine;
    bool ok;

    body_next(b);
    if (syntax_is_punct(&b->s, '='))
        body_next(b);
    engine = token_text(&b->s.t, b->s.l.mode);
    ok = grammar_allows_engine(engine);
    free(engine);
    body_next(b);
    return ok ? 0
              : body_refuse(b, "makes a table of a storage engine that an import does not allow");
}

/* Refuses variables to which SET must not assign. */
int body_check_target(struct body *b)
{
    static const char *const server[] = {"GLOBAL", "PERSIST", "PERSIST_ONLY", NULL};
    static const char *const other[] = {"PASSWORD",  "ROLE",          "DEFAULT", "RESOURCE",
                                        "STATEMENT", "AUTHORIZATION", NULL};
    struct token behind = syntax_peek(&b->s);

    if (body_is_any(b, server) && !token_is_punct(&behind, '=') && !token_is_punct(&behind, ':'))
        return body_refuse(b, "changes a setting of the server (SET GLOBAL)");
    if (b->s.t.type == TOKEN_SYSTEM) {
        char *variable = token_text(&b->s.t, b->s.l.mode);
        bool session =
            strncasecmp(variable, "global", 6) != 0 && strncasecmp(variable, "persist", 7) != 0;
        free(variable);
        if (!session)
            return body_refuse(b, "changes a setting of the server (SET GLOBAL)");
    }
    if (body_is(b, "PASSWORD") ||
        (body_is_any(b, other) && !token_is_punct(&behind, '=') && !token_is_punct(&behind, ':')))
        return body_refuse(b,
                           "changes an account or role, or sets something for another statement");
    return 0;
}

int body_word(struct body *b)
{
    static const char *const modifiers[] = {"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED",
                                            "IGNORE",       "TEMPORARY",     "IF",
                                            "NOT",          "EXISTS",        NULL};
    static const char *const places[] = {"DIRECTORY", "CONNECTION", "TABLESPACE", NULL};
    struct token behind = syntax_peek(&b->s);

    if (body_is(b, "INTO"))
        return into(b);
    if (token_is_punct(&behind, '.') || token_is_punct(&b->last[0], '.'))
        return body_name(b);
    if (body_is(b, "OUTFILE") || body_is(b, "INFILE"))
        return body_refuse(b, "reads or writes a file");
    if (b->ddl && body_is(b, "ENGINE"))
        return engine(b);
    if (b->ddl && body_is_any(b, places))
        return body_refuse(b, "makes a table that does not lie in the database's folder");
    if (body_is(b, "SELECT")) {
        body_expect(b, PLACE_VALUE, false);
        body_level(b)->query = true;
        b->ddl = b->ddl && b->depth > 0;
    } else if (body_is(b, "CASE")) {
        if (b->n_blocks == BODY_DEPTH_MAX)
            return body_refuse(b, "is too deep");
        b->blocks[b->n_blocks++] = BLOCK_CASE_VALUE;
    } else if (ends_tables(b)) {
        body_expect(b, PLACE_VALUE, false);
    } else if (body_is(b, "ON") && body_level(b)->place == PLACE_AFTER) {
        body_level(b)->place = PLACE_VALUE;
    } else if (!leads_to_tables(b) &&
               !(body_level(b)->place == PLACE_TABLE && body_is_any(b, modifiers))) {
        return body_name(b);
    }
    body_next(b);
    return 0;
}
