/* SPDX-License-Identifier: MIT */
/*
 * Recursive descent, one function for each rule; they return true, or false with the place in `s`.
 * Where the grammars of MySQL and MariaDB differ, both are read.
 */
#include "sqlimport/sql/table_grammar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct def {
    struct syntax *s;
    struct strlist *parents;
};

bool table_grammar_allows_engine(const char *name)
{
    static const char *const names[] = {"InnoDB", "MyISAM",  "Aria", "MEMORY",
                                        "HEAP",   "ARCHIVE", "CSV",  "RocksDB"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool forbidden(struct syntax *s, const char *what)
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
static bool expression(struct syntax *s)
{
    int depth = 0;

    if (!syntax_is_punct(s, '('))
        return false;
    do {
        if (s->t.type == TOKEN_END || s->t.type == TOKEN_USER || s->t.type == TOKEN_SYSTEM ||
            syntax_is_punct(s, ';') || syntax_is_punct(s, '.'))
            return false;
        if (is_harmful(s))
            return forbidden(s, "an expression of a table does more than compute, which an import "
                                "does not allow");
        depth += syntax_is_punct(s, '(') - syntax_is_punct(s, ')');
        syntax_next(s);
    } while (depth > 0);
    return true;
}

/* 'text', _utf8mb4'text', x'00', or text with COLLATE. */
static bool text(struct syntax *s)
{
    struct token behind = syntax_peek(s);

    if (s->t.type == TOKEN_WORD && behind.type == TOKEN_STRING &&
        (*s->t.p == '_' || (s->t.len == 1 && strchr("xXbBnN", *s->t.p))))
        syntax_next(s);
    return syntax_take_type(s, TOKEN_STRING);
}

static bool number(struct syntax *s)
{
    (void)(syntax_take_punct(s, '-') || syntax_take_punct(s, '+'));
    return syntax_take_type(s, TOKEN_NUMBER);
}

/* Behind DEFAULT and ON UPDATE: a literal, a function, or an expression in brackets. */
static bool value(struct syntax *s)
{
    if (text(s) || (syntax_is_punct(s, '(') && expression(s)))
        return true;
    if (s->t.type == TOKEN_WORD) {
        if (is_harmful(s))
            return forbidden(s, "a default of a table does more than compute, which an import does "
                                "not allow");
        if (!syntax_take_name(s))
            return false;
        return !syntax_is_punct(s, '(') || expression(s);
    }
    return number(s);
}

/* [=] number, text or word: of an option. */
static bool setting(struct syntax *s)
{
    (void)syntax_take_punct(s, '=');
    return text(s) || syntax_take_type(s, TOKEN_WORD) || number(s);
}

/* `name`=value: an attribute that an engine defines. */
static bool engine_attribute(struct syntax *s)
{
    struct token behind = syntax_peek(s);

    if (!syntax_is_name(s) || !token_is_punct(&behind, '='))
        return false;
    syntax_next(s);
    return setting(s);
}

/* (`a`,`b`) */
static bool columns(struct syntax *s)
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
static bool named_setting(struct syntax *s, const char *const *words)
{
    return syntax_take_any(s, words) && setting(s);
}

static bool charset(struct syntax *s)
{
    return (syntax_take_two(s, "CHARACTER", "SET") || syntax_take(s, "CHARSET") ||
            syntax_take(s, "COLLATE")) &&
           setting(s);
}

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
        return forbidden(s, "a foreign key leads into another database");
    if (!syntax_is_name(s))
        return false;
    name = token_text(&s->t, s->l.mode);
    strlist_add(d->parents, name);
    free(name);
    syntax_next(s);
    if (syntax_is_punct(s, '(') && !columns(s))
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
    return syntax_take(s, "CHECK") && expression(s);
}

static bool enforced(struct syntax *s)
{
    return syntax_take(s, "ENFORCED") || syntax_take_two(s, "NOT", "ENFORCED");
}

static bool key_part(struct syntax *s)
{
    static const char *const order[] = {"ASC", "DESC", NULL};

    if (syntax_is_punct(s, '(')) {
        if (!expression(s))
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
        } else if (!named_setting(s, settings) && !syntax_take_any(s, words) &&
                   !syntax_take_two(s, "NOT", "IGNORED") && !engine_attribute(s)) {
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
    return columns(s) && references(d);
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
        return syntax_take_name(s) && columns(s);
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
        if (!text(s) && !number(s) && !syntax_take_type(s, TOKEN_WORD))
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
    return expression(s);
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
        return value(s);
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
           syntax_take(s, "KEY") || syntax_take_any(s, words) || named_setting(s, settings) ||
           charset(s) || enforced(s) || engine_attribute(s);
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

static bool engine(struct syntax *s)
{
    char *name;
    bool ok;

    (void)syntax_take_punct(s, '=');
    if (!syntax_is_name(s) && s->t.type != TOKEN_STRING)
        return false;
    name = token_text(&s->t, s->l.mode);
    ok = table_grammar_allows_engine(name);
    free(name);
    if (!ok)
        return forbidden(s, "a table uses a storage engine that an import does not allow");
    syntax_next(s);
    return true;
}

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
        return engine(s);
    if (syntax_take(s, "DEFAULT"))
        return charset(s);
    if (syntax_take(s, "WITH"))
        return syntax_take_two(s, "SYSTEM", "VERSIONING");
    if (s->t.type == TOKEN_NAME)
        return engine_attribute(s);
    return charset(s) || named_setting(s, settings);
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

/* --- partitions --- */

/* HASH (…), KEY (…), RANGE [COLUMNS] (…), LIST [COLUMNS] (…) */
static bool partition_method(struct syntax *s)
{
    struct token behind;

    (void)syntax_take(s, "LINEAR");
    if (syntax_take(s, "HASH"))
        return expression(s);
    if (syntax_take(s, "KEY")) {
        if (syntax_take(s, "ALGORITHM") &&
            (!syntax_take_punct(s, '=') || !syntax_take_type(s, TOKEN_NUMBER)))
            return false;
        behind = syntax_peek(s);
        if (token_is_punct(&behind, ')'))
            return syntax_take_punct(s, '(') && syntax_take_punct(s, ')');
        return columns(s);
    }
    if (!syntax_take(s, "RANGE") && !syntax_take(s, "LIST"))
        return false;
    return syntax_take(s, "COLUMNS") ? columns(s) : expression(s);
}

/* SYSTEM_TIME INTERVAL 1 DAY STARTS TIMESTAMP'…' AUTO, SYSTEM_TIME LIMIT 10 */
static bool system_time(struct syntax *s)
{
    if (syntax_take(s, "LIMIT") && !syntax_take_type(s, TOKEN_NUMBER))
        return false;
    if (syntax_take(s, "INTERVAL") &&
        ((!number(s) && !text(s)) || !syntax_take_type(s, TOKEN_WORD)))
        return false;
    if (syntax_take(s, "STARTS")) {
        (void)syntax_take(s, "TIMESTAMP");
        if (!text(s))
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
            if (!engine(s))
                return false;
        } else if (!named_setting(s, settings)) {
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
        return expression(s);
    return syntax_take_two(s, "LESS", "THAN") && (syntax_take(s, "MAXVALUE") || expression(s));
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

static bool partitioning(struct syntax *s)
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
    return syntax_take_punct(s, ')') && table_options(s) && partitioning(s) &&
           s->t.type == TOKEN_END;
}

int table_grammar_check(const char *sql, size_t len, struct token_mode mode,
                        struct strlist *parents, struct err *e)
{
    struct syntax s;
    struct def d = {.s = &s, .parents = parents};

    syntax_init(&s, sql, len, mode, e);
    return table(&d) ? 0
                     : syntax_refuse(&s, "a table is made in a way that an import does not allow");
}

int table_grammar_column(struct syntax *s, struct strlist *parents)
{
    struct def d = {.s = s, .parents = parents};

    return column(&d) ? 0 : syntax_refuse(s, "a column is one that an import does not allow");
}

int table_grammar_key(struct syntax *s, struct strlist *parents)
{
    struct def d = {.s = s, .parents = parents};

    return key(&d) ? 0 : syntax_refuse(s, "a key is one that an import does not allow");
}

/* START WITH 1 MINVALUE 1 … */
static bool sequence_option(struct syntax *s)
{
    static const char *const words[] = {"NOMINVALUE", "NOMAXVALUE", "NOCACHE",
                                        "CYCLE",      "NOCYCLE",    NULL};
    static const char *const counts[] = {"START",     "MINVALUE", "MAXVALUE",
                                         "INCREMENT", "CACHE",    NULL};

    if (syntax_take(s, "ENGINE"))
        return engine(s);
    if (syntax_take(s, "COMMENT"))
        return setting(s);
    if (syntax_take(s, "NO"))
        return syntax_take(s, "MINVALUE") || syntax_take(s, "MAXVALUE") ||
               syntax_take(s, "CYCLE") || syntax_take(s, "CACHE");
    if (syntax_take_any(s, counts)) {
        (void)(syntax_take(s, "WITH") || syntax_take(s, "BY") || syntax_take_punct(s, '='));
        return number(s);
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
               : syntax_refuse(&s, "a sequence is made in a way that an import does not allow");
}
