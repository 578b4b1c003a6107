/* SPDX-License-Identifier: MIT */
#include "sqlimport/sql/partition_grammar.h"

#include "sqlimport/sql/grammar_parts.h"

/* HASH (…), KEY (…), RANGE [COLUMNS] (…), LIST [COLUMNS] (…) */
static bool partition_method(struct syntax *s)
{
    struct token behind;

    (void)syntax_take(s, "LINEAR");
    if (syntax_take(s, "HASH"))
        return grammar_expression(s);
    if (syntax_take(s, "KEY")) {
        if (syntax_take(s, "ALGORITHM") &&
            (!syntax_take_punct(s, '=') || !syntax_take_type(s, TOKEN_NUMBER)))
            return false;
        behind = syntax_peek(s);
        if (token_is_punct(&behind, ')'))
            return syntax_take_punct(s, '(') && syntax_take_punct(s, ')');
        return grammar_columns(s);
    }
    if (!syntax_take(s, "RANGE") && !syntax_take(s, "LIST"))
        return false;
    return syntax_take(s, "COLUMNS") ? grammar_columns(s) : grammar_expression(s);
}

/* SYSTEM_TIME INTERVAL 1 DAY STARTS TIMESTAMP'…' AUTO, SYSTEM_TIME LIMIT 10 */
static bool system_time(struct syntax *s)
{
    if (syntax_take(s, "LIMIT") && !syntax_take_type(s, TOKEN_NUMBER))
        return false;
    if (syntax_take(s, "INTERVAL") &&
        ((!grammar_number(s) && !grammar_text(s)) || !syntax_take_type(s, TOKEN_WORD)))
        return false;
    if (syntax_take(s, "STARTS")) {
        (void)syntax_take(s, "TIMESTAMP");
        if (!grammar_text(s))
            return false;
    }
    (void)syntax_take(s, "AUTO");
    return true;
}

static bool count(struct syntax *s, const char *word)
{
    return !syntax_take(s, word) || syntax_take_type(s, TOKEN_NUMBER);
}

static bool partition_options(struct syntax *s)
{
    static const char *const settings[] = {"COMMENT", "MAX_ROWS", "MIN_ROWS", "NODEGROUP", NULL};

    for (;;) {
        if (syntax_take_two(s, "STORAGE", "ENGINE") || syntax_take(s, "ENGINE")) {
            if (!grammar_engine(s))
                return false;
        } else if (!grammar_named_setting(s, settings)) {
            return true;
        }
    }
}

static bool partition_values(struct syntax *s)
{
    static const char *const words[] = {"DEFAULT", "CURRENT", "HISTORY", NULL};

    if (!syntax_take(s, "VALUES"))
        return syntax_take_any(s, words) || true;
    if (syntax_take(s, "IN"))
        return grammar_expression(s);
    return syntax_take_two(s, "LESS", "THAN") &&
           (syntax_take(s, "MAXVALUE") || grammar_expression(s));
}

static bool subpartitions(struct syntax *s)
{
    if (!syntax_take_punct(s, '('))
        return true;
    do
        if (!syntax_take(s, "SUBPARTITION") || !syntax_take_name(s) || !partition_options(s))
            return false;
    while (syntax_take_punct(s, ','));
    return syntax_take_punct(s, ')');
}

static bool partitions(struct syntax *s)
{
    if (!syntax_take_punct(s, '('))
        return true;
    do
        if (!syntax_take(s, "PARTITION") || !syntax_take_name(s) || !partition_values(s) ||
            !partition_options(s) || !subpartitions(s))
            return false;
    while (syntax_take_punct(s, ','));
    return syntax_take_punct(s, ')');
}

bool partition_grammar_read(struct syntax *s)
{
    if (s->t.type == TOKEN_END)
        return true;
    if (!syntax_take_two(s, "PARTITION", "BY") ||
        !(syntax_take(s, "SYSTEM_TIME") ? system_time(s) : partition_method(s)) ||
        !count(s, "PARTITIONS"))
        return false;
    if (syntax_take_two(s, "SUBPARTITION", "BY") && !partition_method(s))
        return false;
    return count(s, "SUBPARTITIONS") && partitions(s);
}
