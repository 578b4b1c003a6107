/* SPDX-License-Identifier: MIT */
/*
 * One function for each piece of the grammar, which steps over it; false: it is not there as it
 * must be. What a piece allows inside brackets and times is words, names and literals only, so that
 * no query hides in it.
 */
#include "sqlimport/sql/stored_grammar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

/* `user`@`host`, 'user' @ 'host', CURRENT_USER[()], or a role; malloc'd, NULL: none. */
static char *account(struct syntax *s)
{
    const char *begin = s->t.p, *end = s->l.p;
    bool current = syntax_is(s, "CURRENT_USER") || syntax_is(s, "CURRENT_ROLE");

    if (!syntax_is_name(s) && s->t.type != TOKEN_STRING)
        return NULL;
    syntax_next(s);
    if (current && syntax_take_punct(s, '(')) {
        if (!syntax_take_punct(s, ')'))
            return NULL;
    } else if (s->t.type == TOKEN_USER) {
        bool alone = s->t.len == 1;
        end = s->l.p;
        syntax_next(s);
        if (alone) {
            end = s->l.p;
            if (!syntax_is_name(s) && s->t.type != TOKEN_STRING)
                return NULL;
            syntax_next(s);
        }
    }
    return xstrndup(begin, (size_t)(end - begin));
}

/* [ALGORITHM=…] [DEFINER=…] [SQL SECURITY …] [AGGREGATE] */
static bool attributes(struct syntax *s, enum object_kind kind, char **definer)
{
    static const char *const algorithms[] = {"UNDEFINED", "MERGE", "TEMPTABLE", NULL};

    if (syntax_take(s, "ALGORITHM") &&
        (!syntax_take_punct(s, '=') || !syntax_take_any(s, algorithms)))
        return false;
    if (syntax_take(s, "DEFINER") && (!syntax_take_punct(s, '=') || !(*definer = account(s))))
        return false;
    if (syntax_take_two(s, "SQL", "SECURITY") && !syntax_take(s, "DEFINER") &&
        !syntax_take(s, "INVOKER"))
        return false;
    return kind == OBJECT_FUNCTION ? syntax_take(s, "AGGREGATE") || true : true;
}

/* ( … ): words, names, numbers and texts. */
static bool bracket(struct syntax *s)
{
    int depth = 0;

    if (!syntax_is_punct(s, '('))
        return false;
    do {
        bool plain = syntax_is_name(s) || s->t.type == TOKEN_NUMBER || s->t.type == TOKEN_STRING ||
                     syntax_is_punct(s, ',') || syntax_is_punct(s, '(') || syntax_is_punct(s, ')');
        if (!plain)
            return false;
        depth += syntax_is_punct(s, '(') - syntax_is_punct(s, ')');
        syntax_next(s);
    } while (depth > 0);
    return true;
}

static bool view(struct syntax *s)
{
    return (!syntax_is_punct(s, '(') || bracket(s)) && syntax_take(s, "AS");
}

static bool trigger(struct syntax *s, char **table)
{
    static const char *const times[] = {"BEFORE", "AFTER", NULL};
    static const char *const events[] = {"INSERT", "UPDATE", "DELETE", NULL};

    if (!syntax_take_any(s, times))
        return false;
    do
        if (!syntax_take_any(s, events))
            return false;
    while (syntax_take(s, "OR"));
    if (!syntax_take(s, "ON") || !syntax_is_name(s))
        return false;
    *table = token_text(&s->t, s->l.mode);
    if (!syntax_take_name(s) || !syntax_take_two(s, "FOR", "EACH") || !syntax_take(s, "ROW"))
        return false;
    if (syntax_take(s, "FOLLOWS") || syntax_take(s, "PRECEDES"))
        return syntax_take_name(s);
    return true;
}

/* RETURNS varchar(10) CHARSET utf8mb4 */
static bool returns(struct syntax *s)
{
    static const char *const words[] = {"UNSIGNED",  "SIGNED",  "ZEROFILL", "BINARY", "ASCII",
                                        "PRECISION", "VARYING", "UNICODE",  NULL};

    if (!syntax_take(s, "RETURNS") || s->t.type != TOKEN_WORD || !syntax_take_name(s) ||
        (syntax_is_punct(s, '(') && !bracket(s)))
        return false;
    for (;;) {
        if (syntax_take_two(s, "CHARACTER", "SET") || syntax_take(s, "CHARSET") ||
            syntax_take(s, "COLLATE")) {
            if (!syntax_take_type(s, TOKEN_WORD) && !syntax_take_type(s, TOKEN_STRING))
                return false;
        } else if (!syntax_take_any(s, words)) {
            return true;
        }
    }
}

static bool characteristics(struct syntax *s)
{
    for (;;) {
        if (syntax_take(s, "COMMENT")) {
            if (!syntax_take_type(s, TOKEN_STRING))
                return false;
        } else if (syntax_take_two(s, "READS", "SQL") || syntax_take_two(s, "MODIFIES", "SQL")) {
            if (!syntax_take(s, "DATA"))
                return false;
        } else if (syntax_take_two(s, "SQL", "SECURITY")) {
            if (!syntax_take(s, "DEFINER") && !syntax_take(s, "INVOKER"))
                return false;
        } else if (!syntax_take_two(s, "LANGUAGE", "SQL") &&
                   !syntax_take_two(s, "NOT", "DETERMINISTIC") &&
                   !syntax_take(s, "DETERMINISTIC") && !syntax_take_two(s, "CONTAINS", "SQL") &&
                   !syntax_take_two(s, "NO", "SQL")) {
            return true;
        }
    }
}

static bool routine(struct syntax *s, bool function)
{
    if (!bracket(s) || (function && !returns(s)) || !characteristics(s))
        return false;
    (void)(syntax_take(s, "AS") || syntax_take(s, "IS")); /* under sql_mode=ORACLE */
    return true;
}

/* A time: literals, operators and functions of the server, up to a word that goes on. */
static bool schedule(struct syntax *s)
{
    while (!syntax_is(s, "DO") && !syntax_is(s, "COMMENT") && !syntax_is(s, "ENABLE") &&
           !syntax_is(s, "DISABLE") && !syntax_is(s, "ON")) {
        if (s->t.type == TOKEN_END || s->t.type == TOKEN_USER || s->t.type == TOKEN_SYSTEM ||
            syntax_is_punct(s, ';') || syntax_is_punct(s, '.') || syntax_is(s, "SELECT"))
            return false;
        syntax_next(s);
    }
    return true;
}

static bool event(struct syntax *s)
{
    if (!syntax_take_two(s, "ON", "SCHEDULE") || !schedule(s))
        return false;
    if (syntax_take_two(s, "ON", "COMPLETION")) {
        (void)syntax_take(s, "NOT");
        if (!syntax_take(s, "PRESERVE"))
            return false;
    }
    if (syntax_take(s, "DISABLE")) {
        if (syntax_take(s, "ON") && !syntax_take(s, "SLAVE") && !syntax_take(s, "REPLICA"))
            return false;
    } else {
        (void)syntax_take(s, "ENABLE");
    }
    if (syntax_take(s, "COMMENT") && !syntax_take_type(s, TOKEN_STRING))
        return false;
    return syntax_take(s, "DO");
}

static bool head(struct syntax *s, enum object_kind kind, char **table, char **definer)
{
    if (!syntax_take(s, "CREATE") || !attributes(s, kind, definer) ||
        !syntax_take(s, object_kind_name(kind)) || !syntax_take_name(s))
        return false;
    switch (kind) {
    case OBJECT_VIEW:
        return view(s);
    case OBJECT_TRIGGER:
        return trigger(s, table);
    case OBJECT_FUNCTION:
    case OBJECT_PROCEDURE:
        return routine(s, kind == OBJECT_FUNCTION);
    case OBJECT_EVENT:
        return event(s);
    case OBJECT_TABLE:
    case OBJECT_SEQUENCE:
        break;
    }
    return false;
}

int stored_grammar_read(enum object_kind kind, const char *text, size_t len, struct token_mode mode,
                        size_t *ret_body, char **ret_table, char **ret_definer, struct err *e)
{
    char *table = NULL, *definer = NULL;
    struct syntax s;

    syntax_init(&s, text, len, mode, e);
    if (!head(&s, kind, &table, &definer) || s.t.type == TOKEN_END) {
        free(table);
        free(definer);
        return syntax_refuse(&s,
                             "the dump creates an object in a way that an import does not allow");
    }
    *ret_body = (size_t)(s.t.p - text);
    *ret_table = table;
    *ret_definer = definer;
    return 0;
}
