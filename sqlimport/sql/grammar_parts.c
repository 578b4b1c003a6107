/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/grammar_parts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool grammar_allows_engine(const char *name)
{
    static const char *const names[] = {"InnoDB", "MyISAM",  "Aria", "MEMORY",
                                        "HEAP",   "ARCHIVE", "CSV",  "RocksDB"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

bool grammar_forbid(struct syntax *s, const char *what)
{
    (void)syntax_refuse(s, what);
    return false;
}

/* --- expressions --- */

/* Words that read tables or counters, wait, or reach files. */
static bool is_harmful(const struct syntax *s)
{
    static const char *const words[] = {
        "SELECT",
        "TABLE",
        "INTO",
        "LOAD_FILE",
        "SLEEP",
        "BENCHMARK",
        "GET_LOCK",
        "NEXT",
        "PREVIOUS",
        "NEXTVAL",
        "LASTVAL",
        "SETVAL",
        "SYS_EVAL",
        "SYS_EXEC",
        "MASTER_POS_WAIT",
        "VALUES",
        "MASTER_GTID_WAIT",
        "WITH",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (syntax_is_called(s, words[i]))
            return true;
    return false;
}

/* ( … ): balanced, values, columns, operators and functions of the server. */
bool grammar_expression(struct syntax *s)
{
    int depth = 0;

    if (!syntax_is_punct(s, '('))
        return false;
    do {
        if (s->t.type == TOKEN_END || s->t.type == TOKEN_USER || s->t.type == TOKEN_SYSTEM ||
            syntax_is_punct(s, ';') || syntax_is_punct(s, '.'))
            return false;
        if (is_harmful(s))
            return grammar_forbid(
                s, "an expression of a table does more than compute, which an import "
                   "does not allow");
        depth += syntax_is_punct(s, '(') - syntax_is_punct(s, ')');
        syntax_next(s);
    } while (depth > 0);
    return true;
}

/* 'text', _utf8mb4'text', x'00', or text with COLLATE. */
bool grammar_text(struct syntax *s)
{
    struct token behind = syntax_peek(s);

    if (s->t.type == TOKEN_WORD && behind.type == TOKEN_STRING &&
        (*s->t.p == '_' || (s->t.len == 1 && strchr("xXbBnN", *s->t.p))))
        syntax_next(s);
    return syntax_take_type(s, TOKEN_STRING);
}

bool grammar_number(struct syntax *s)
{
    (void)(syntax_take_punct(s, '-') || syntax_take_punct(s, '+'));
    return syntax_take_type(s, TOKEN_NUMBER);
}

/* Behind DEFAULT and ON UPDATE: a literal, a function, or an expression in brackets. */
bool grammar_value(struct syntax *s)
{
    if (grammar_text(s) || (syntax_is_punct(s, '(') && grammar_expression(s)))
        return true;
    if (s->t.type == TOKEN_WORD) {
        if (is_harmful(s))
            return grammar_forbid(
                s, "a default of a table does more than compute, which an import does "
                   "not allow");
        if (!syntax_take_name(s))
            return false;
        return !syntax_is_punct(s, '(') || grammar_expression(s);
    }
    return grammar_number(s);
}

/* [=] number, text or word: of an option. */
bool grammar_setting(struct syntax *s)
{
    (void)syntax_take_punct(s, '=');
    return grammar_text(s) || syntax_take_type(s, TOKEN_WORD) || grammar_number(s);
}

/* `name`=value: an attribute that an engine defines. */
bool grammar_engine_attribute(struct syntax *s)
{
    struct token behind = syntax_peek(s);

    if (!syntax_is_name(s) || !token_is_punct(&behind, '='))
        return false;
    syntax_next(s);
    return grammar_setting(s);
}

/* (`a`,`b`) */
bool grammar_columns(struct syntax *s)
{
    if (!syntax_take_punct(s, '('))
        return false;
    do
        if (!syntax_take_name(s))
            return false;
    while (syntax_take_punct(s, ','));
    return syntax_take_punct(s, ')');
}

/* Words that begin or take a setting each, with what stands behind. */
bool grammar_named_setting(struct syntax *s, const char *const *words)
{
    return syntax_take_any(s, words) && grammar_setting(s);
}

bool grammar_charset(struct syntax *s)
{
    return (syntax_take_two(s, "CHARACTER", "SET") || syntax_take(s, "CHARSET") ||
            syntax_take(s, "COLLATE")) &&
           grammar_setting(s);
}

bool grammar_engine(struct syntax *s)
{
    char *name;
    bool ok;

    (void)syntax_take_punct(s, '=');
    if (!syntax_is_name(s) && s->t.type != TOKEN_STRING)
        return false;
    name = token_text(&s->t, s->l.mode);
    ok = grammar_allows_engine(name);
    free(name);
    if (!ok)
        return grammar_forbid(s, "a table uses a storage engine that an import does not allow");
    syntax_next(s);
    return true;
}
