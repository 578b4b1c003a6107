/* SPDX-License-Identifier: MIT */
/*
 * Recursive descent, one function for each rule; they return true, or false with the place in `s`.
 * Where the grammars of MySQL and MariaDB differ, both are read.
 */
#include "sqlimport/sql/table_grammar.h"

#include <stdlib.h>

#include "sqlimport/sql/grammar_parts.h"
#include "sqlimport/sql/partition_grammar.h"

struct def {
    struct syntax *s;
    struct strlist *parents;
};

/* --- keys --- */

static bool action(struct syntax *s)
{
    static const char *const words[] = {"RESTRICT", "CASCADE", NULL};

    return syntax_take_any(s, words) || syntax_take_two(s, "NO", "ACTION") ||
           syntax_take_two(s, "SET", "NULL") || syntax_take_two(s, "SET", "DEFAULT");
}

/* REFERENCES `t` (`a`) ON DELETE … */
static bool references(struct def *d)
{
    struct syntax *s = d->s;
    struct token behind;
    char *name;

    if (!syntax_take(s, "REFERENCES"))
        return false;
    behind = syntax_peek(s);
    if (token_is_punct(&behind, '.'))
        return grammar_forbid(s, "a foreign key leads into another database");
    if (!syntax_is_name(s))
        return false;
    name = token_text(&s->t, s->l.mode);
    strlist_add(d->parents, name);
    free(name);
    syntax_next(s);
    if (syntax_is_punct(s, '(') && !grammar_columns(s))
        return false;
    if (syntax_take(s, "MATCH") && !syntax_take_name(s))
        return false;
    while (syntax_take(s, "ON"))
        if (!(syntax_take(s, "DELETE") || syntax_take(s, "UPDATE")) || !action(s))
            return false;
    return true;
}

static bool check(struct syntax *s)
{
    return syntax_take(s, "CHECK") && grammar_expression(s);
}

static bool enforced(struct syntax *s)
{
    return syntax_take(s, "ENFORCED") || syntax_take_two(s, "NOT", "ENFORCED");
}

static bool key_part(struct syntax *s)
{
    static const char *const order[] = {"ASC", "DESC", NULL};

    if (syntax_is_punct(s, '(')) {
        if (!grammar_expression(s))
            return false;
    } else {
        if (!syntax_take_name(s))
            return false;
        if (syntax_take_punct(s, '(') &&
            (!syntax_take_type(s, TOKEN_NUMBER) || !syntax_take_punct(s, ')')))
            return false;
    }
    (void)(syntax_take_any(s, order) || syntax_take_two(s, "WITHOUT", "OVERLAPS"));
    return true;
}

static bool key_options(struct syntax *s)
{
    static const char *const settings[] = {"USING",
                                           "TYPE",
                                           "COMMENT",
                                           "KEY_BLOCK_SIZE",
                                           "ENGINE_ATTRIBUTE",
                                           "SECONDARY_ENGINE_ATTRIBUTE",
                                           NULL};
    static const char *const words[] = {"VISIBLE", "INVISIBLE", "IGNORED", "CLUSTERING", NULL};

    for (;;) {
        if (syntax_take_two(s, "WITH", "PARSER")) {
            if (!syntax_take_name(s))
                return false;
        } else if (!grammar_named_setting(s, settings) && !syntax_take_any(s, words) &&
                   !syntax_take_two(s, "NOT", "IGNORED") && !grammar_engine_attribute(s)) {
            return true;
        }
    }
}

/* Behind KEY: [name] [USING …] (parts) options */
static bool key_body(struct syntax *s)
{
    bool named = syntax_is_name(s) && !syntax_is(s, "USING") && !syntax_is(s, "TYPE");

    if ((named && !syntax_take_name(s)) || !key_options(s) || !syntax_take_punct(s, '('))
        return false;
    do
        if (!key_part(s))
            return false;
    while (syntax_take_punct(s, ','));
    return syntax_take_punct(s, ')') && key_options(s);
}

static bool foreign_key(struct def *d)
{
    struct syntax *s = d->s;

    if (syntax_is_name(s) && !syntax_take_name(s))
        return false;
    return grammar_columns(s) && references(d);
}

static bool starts_key(const struct syntax *s)
{
    static const char *const words[] = {"PRIMARY",  "UNIQUE",     "KEY",     "INDEX",
                                        "FULLTEXT", "SPATIAL",    "FOREIGN", "CHECK",
                                        "PERIOD",   "CONSTRAINT", "VECTOR"};
    struct token behind = syntax_peek(s);

    if (syntax_is(s, "VECTOR") || syntax_is(s, "PERIOD")) /* or a column of that name */
        return token_is(&behind, "KEY") || token_is(&behind, "INDEX") || token_is(&behind, "FOR");
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (syntax_is(s, words[i]))
            return true;
    return false;
}

static bool key(struct def *d)
{
    static const char *const kinds[] = {"UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", NULL};
    struct syntax *s = d->s;

    if (syntax_take(s, "CONSTRAINT") && !starts_key(s) && !syntax_take_name(s))
        return false;
    if (syntax_take_two(s, "PERIOD", "FOR"))
        return syntax_take_name(s) && grammar_columns(s);
    if (syntax_take_two(s, "FOREIGN", "KEY"))
        return foreign_key(d);
    if (syntax_is(s, "CHECK"))
        return check(s) && (enforced(s) || true);
    if (syntax_take_two(s, "PRIMARY", "KEY"))
        return key_body(s);
    if (syntax_take_any(s, kinds)) {
        (void)(syntax_take(s, "KEY") || syntax_take(s, "INDEX"));
        return key_body(s);
    }
    return (syntax_take(s, "KEY") || syntax_take(s, "INDEX")) && key_body(s);
}

/* --- columns --- */

/* (10,2), ('a','b') */
static bool type_arguments(struct syntax *s)
{
    if (!syntax_take_punct(s, '('))
        return true;
    do
        if (!grammar_text(s) && !grammar_number(s) && !syntax_take_type(s, TOKEN_WORD))
            return false;
    while (syntax_take_punct(s, ','));
    return syntax_take_punct(s, ')');
}

/* GENERATED ALWAYS AS (…), AS (…), GENERATED ALWAYS AS ROW START */
static bool generated(struct syntax *s)
{
    bool always = syntax_take_two(s, "GENERATED", "ALWAYS");

    if (!syntax_take(s, "AS"))
        return false;
    if (always && syntax_take(s, "ROW"))
        return syntax_take(s, "START") || syntax_take(s, "END");
    return grammar_expression(s);
}

static bool starts_generated(const struct syntax *s)
{
    return syntax_is(s, "GENERATED") || syntax_is(s, "AS");
}

/* CONSTRAINT `c` CHECK (…), or without a name; also an inline foreign key. */
static bool column_constraint(struct def *d)
{
    struct syntax *s = d->s;

    if (syntax_take(s, "CONSTRAINT") && !syntax_is(s, "CHECK") && !syntax_take_name(s))
        return false;
    return syntax_is(s, "REFERENCES") ? references(d) : check(s);
}

static bool starts_constraint(const struct syntax *s)
{
    return syntax_is(s, "CONSTRAINT") || syntax_is(s, "CHECK") || syntax_is(s, "REFERENCES");
}

/* One attribute behind a column's type. */
static bool column_attribute(struct def *d)
{
    static const char *const words[] = {"UNSIGNED",       "SIGNED",    "ZEROFILL",   "BINARY",
                                        "ASCII",          "UNICODE",   "BYTE",       "NULL",
                                        "VIRTUAL",        "STORED",    "PERSISTENT", "VISIBLE",
                                        "AUTO_INCREMENT", "INVISIBLE", NULL};
    static const char *const settings[] = {"COMMENT",
                                           "COLUMN_FORMAT",
                                           "STORAGE",
                                           "SRID",
                                           "REF_SYSTEM_ID",
                                           "ENGINE_ATTRIBUTE",
                                           "SECONDARY_ENGINE_ATTRIBUTE",
                                           NULL};
    struct syntax *s = d->s;

    if (syntax_take_two(s, "SERIAL", "DEFAULT"))
        return syntax_take(s, "VALUE");
    if (syntax_take(s, "DEFAULT") || syntax_take_two(s, "ON", "UPDATE"))
        return grammar_value(s);
    if (starts_generated(s))
        return generated(s);
    if (starts_constraint(s))
        return column_constraint(d);
    if (syntax_take(s, "COMPRESSED"))
        return !syntax_take_punct(s, '=') || syntax_take_name(s);
    if (syntax_take(s, "WITH") || syntax_take(s, "WITHOUT"))
        return syntax_take_two(s, "SYSTEM", "VERSIONING");
    if (syntax_take(s, "UNIQUE")) {
        (void)syntax_take(s, "KEY");
        return true;
    }
    return syntax_take_two(s, "NOT", "NULL") || syntax_take_two(s, "PRIMARY", "KEY") ||
           syntax_take(s, "KEY") || syntax_take_any(s, words) ||
           grammar_named_setting(s, settings) || grammar_charset(s) || enforced(s) ||
           grammar_engine_attribute(s);
}

static bool column(struct def *d)
{
    static const char *const more[] = {"PRECISION", "VARYING",   "VARCHAR",      "VARBINARY",
                                       "CHAR",      "CHARACTER", "VARCHARACTER", NULL};
    struct syntax *s = d->s;

    if (!syntax_take_name(s) || s->t.type != TOKEN_WORD || !syntax_take_name(s))
        return false;
    while (!syntax_is(s, "CHARACTER") && syntax_take_any(s, more))
        ;
    if (!type_arguments(s))
        return false;
    while (!syntax_is_punct(s, ',') && !syntax_is_punct(s, ')') && s->t.type != TOKEN_END)
        if (!column_attribute(d))
            return false;
    return true;
}

/* --- options --- */

static bool table_option(struct syntax *s)
{
    static const char *const settings[] = {"AUTO_INCREMENT",
                                           "AVG_ROW_LENGTH",
                                           "CHECKSUM",
                                           "TABLE_CHECKSUM",
                                           "PAGE_CHECKSUM",
                                           "COMMENT",
                                           "COMPRESSION",
                                           "DELAY_KEY_WRITE",
                                           "ENCRYPTION",
                                           "ENCRYPTED",
                                           "ENCRYPTION_KEY_ID",
                                           "KEY_BLOCK_SIZE",
                                           "MAX_ROWS",
                                           "MIN_ROWS",
                                           "PACK_KEYS",
                                           "ROW_FORMAT",
                                           "STATS_PERSISTENT",
                                           "STATS_AUTO_RECALC",
                                           "STATS_SAMPLE_PAGES",
                                           "TRANSACTIONAL",
                                           "PAGE_COMPRESSED",
                                           "PAGE_COMPRESSION_LEVEL",
                                           "IETF_QUOTES",
                                           "AUTOEXTEND_SIZE",
                                           "ENGINE_ATTRIBUTE",
                                           "SECONDARY_ENGINE_ATTRIBUTE",
                                           NULL};

    if (syntax_take(s, "ENGINE") || syntax_take(s, "TYPE"))
        return grammar_engine(s);
    if (syntax_take(s, "DEFAULT"))
        return grammar_charset(s);
    if (syntax_take(s, "WITH"))
        return syntax_take_two(s, "SYSTEM", "VERSIONING");
    if (s->t.type == TOKEN_NAME)
        return grammar_engine_attribute(s);
    return grammar_charset(s) || grammar_named_setting(s, settings);
}

static bool table_options(struct syntax *s)
{
    while (s->t.type != TOKEN_END && !syntax_is(s, "PARTITION")) {
        if (!table_option(s))
            return false;
        (void)syntax_take_punct(s, ',');
    }
    return true;
}

/* --- whole statements --- */

static bool table(struct def *d)
{
    struct syntax *s = d->s;

    if (!syntax_take_two(s, "CREATE", "TABLE") || !syntax_take_name(s) ||
        !syntax_take_punct(s, '('))
        return false;
    do
        if (!(starts_key(s) ? key(d) : column(d)))
            return false;
    while (syntax_take_punct(s, ','));
    return syntax_take_punct(s, ')') && table_options(s) && partition_grammar_read(s) &&
           s->t.type == TOKEN_END;
}

int table_grammar_check(const char *sql, size_t len, struct token_mode mode,
                        struct strlist *parents, struct err *e)
{
    struct syntax s;
    struct def d = {.s = &s, .parents = parents};

    syntax_init(&s, sql, len, mode, e);
    return table(&d) ? 0
                     : syntax_refuse(
                           &s, "the dump creates a table in a way that an import does not allow");
}

int table_grammar_column(struct syntax *s, struct strlist *parents)
{
    struct def d = {.s = s, .parents = parents};

    return column(&d) ? 0
                      : syntax_refuse(
                            s, "the dump defines a column in a way that an import does not allow");
}

int table_grammar_key(struct syntax *s, struct strlist *parents)
{
    struct def d = {.s = s, .parents = parents};

    return key(&d)
               ? 0
               : syntax_refuse(s, "the dump defines a key in a way that an import does not allow");
}

/* START WITH 1 MINVALUE 1 … */
static bool sequence_option(struct syntax *s)
{
    static const char *const words[] = {"NOMINVALUE", "NOMAXVALUE", "NOCACHE",
                                        "CYCLE",      "NOCYCLE",    NULL};
    static const char *const counts[] = {"START",     "MINVALUE", "MAXVALUE",
                                         "INCREMENT", "CACHE",    NULL};

    if (syntax_take(s, "ENGINE"))
        return grammar_engine(s);
    if (syntax_take(s, "COMMENT"))
        return grammar_setting(s);
    if (syntax_take(s, "NO"))
        return syntax_take(s, "MINVALUE") || syntax_take(s, "MAXVALUE") ||
               syntax_take(s, "CYCLE") || syntax_take(s, "CACHE");
    if (syntax_take_any(s, counts)) {
        (void)(syntax_take(s, "WITH") || syntax_take(s, "BY") || syntax_take_punct(s, '='));
        return grammar_number(s);
    }
    return syntax_take_any(s, words);
}

static bool sequence(struct syntax *s)
{
    if (!syntax_take_two(s, "CREATE", "SEQUENCE") || !syntax_take_name(s))
        return false;
    if (syntax_take(s, "AS")) {
        if (s->t.type != TOKEN_WORD || !syntax_take_name(s))
            return false;
        (void)syntax_take(s, "UNSIGNED");
    }
    while (s->t.type != TOKEN_END)
        if (!sequence_option(s))
            return false;
    return true;
}

int table_grammar_check_sequence(const char *sql, size_t len, struct token_mode mode, struct err *e)
{
    struct syntax s;

    syntax_init(&s, sql, len, mode, e);
    return sequence(&s)
               ? 0
               : syntax_refuse(
                     &s, "the dump creates a sequence in a way that an import does not allow");
}
