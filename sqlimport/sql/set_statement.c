/* SPDX-License-Identifier: MIT */
/*
 *     SET NAMES utf8mb4, @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO';
 *         ^ set_names    ^ set_user_variable       ^ assign ─> literal
 *     SET SQL_MODE=@OLD_SQL_MODE, TIME_ZONE=IFNULL(@OLD_TZ, 'SYSTEM');
 *                  ^ give_back              ^ give_back_or
 *
 * A setting is followed (field_of()), passed over (is_harmless()), or refused. A followed one takes
 * a literal, or a user variable whose value is known (user_vars.h).
 */
#include "sqlimport/sql/set_statement.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/session_fields.h"
#include "sync/common/buf.h"

#define VALUE_MAX 1000 /* bytes; all names of sql_mode are 600 */

static int field_of(const char *name)
{
    static const struct {
        const char *name;
        int field;
    } fields[] = {
        {"character_set_client", CLIENT},
        {"collation_connection", COLLATION},
        {"sql_mode", SQL_MODE},
        {"time_zone", TIME_ZONE},
        {"system_versioning_insert_history", HISTORY}, /* MariaDB's --dump-history */
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (strcasecmp(name, fields[i].name) == 0)
            return fields[i].field;
    return -1;
}

/* Set by the importer itself on every connection, or of no meaning for what is stored. */
static bool is_harmless(const char *name)
{
    static const char *const names[] = {
        "character_set_results",
        "foreign_key_checks",
        "unique_checks",
        "sql_notes",
        "sql_quote_show_create",
        "autocommit",
        "sql_log_bin",
        "gtid_purged",
        "alter_algorithm",
        "information_schema_stats_expiry",
        "explicit_defaults_for_timestamp",
        "note_verbosity",
        "sql_require_primary_key",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool safe_value(enum field f, const char *s)
{
    const char *more = f == SQL_MODE ? ",_" : f == TIME_ZONE ? "+-:/_" : "_";

    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr(more, *s))
            return false;
    return true;
}

/* Character sets whose second byte may be a backslash or quote: text in them cannot be cut. */
static bool unsafe_charset(const char *s)
{
    static const char *const names[] = {"big5", "cp932", "gb18030", "gbk",     "sjis",
                                        "swe7", "ucs2",  "utf16",   "utf16le", "utf32"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcasecmp(s, names[i]) == 0)
            return true;
    return false;
}

static int put_checked(struct session_vars *v, enum field f, const char *value, struct err *e)
{
    bool named = f == CLIENT || f == NAMES || (f == COLLATION && *value);

    if (strlen(value) > VALUE_MAX || !safe_value(f, value) ||
        (named && !isalpha((unsigned char)*value)))
        return err_set(e, EPERM, "the dump gives a session setting a value that no server has");
    if ((f == CLIENT || f == NAMES) && unsafe_charset(value))
        return err_set(e, EPERM,
                       "the dump is in character set '%s', in which text cannot be read safely; "
                       "dump with --default-character-set=utf8mb4",
                       value);
    session_fields_put(v, f, value);
    return 0;
}

static int cannot_follow(struct err *e)
{
    return err_set(e, EPERM,
                   "the dump gives a session setting a value that an import cannot follow");
}

/* The value of a literal or a plain word; at the token behind it afterwards. */
static int literal(struct session_vars *v, enum field f, struct lexer *l, struct token *t,
                   struct err *e)
{
    bool plain = t->type == TOKEN_WORD || t->type == TOKEN_STRING ||
                 (t->type == TOKEN_NUMBER && f == HISTORY);
    char *text;
    int r;

    if (!plain)
        return err_set(e, EPERM,
                       "the dump gives a session setting a value that is not a plain word");
    text = token_text(t, l->mode);
    r = put_checked(v, f, strcasecmp(text, "default") == 0 ? session_fields_start(v, f) : text, e);
    free(text);
    lexer_next(l, t);
    return r;
}

/* Restores a setting from a variable. From one that was never set (the head of the dump is missing)
 * it becomes that of a new session. */
static int give_back(struct session_vars *v, enum field f, const struct variable *from,
                     struct err *e)
{
    if (from->kind == VARIABLE_NULL) {
        session_fields_put(v, f, session_fields_start(v, f));
        return 0;
    }
    if (from->kind == VARIABLE_UNKNOWN || (from->kind == VARIABLE_FIELD && from->field != (int)f))
        return cannot_follow(e);
    return put_checked(v, f, from->value, e);
}

static bool take_punct(struct lexer *l, struct token *t, char c)
{
    if (!token_is_punct(t, c))
        return false;
    lexer_next(l, t);
    return true;
}

static bool take_word(struct lexer *l, struct token *t, const char *word)
{
    if (!token_is(t, word))
        return false;
    lexer_next(l, t);
    return true;
}

/* IFNULL(@x, 'y') and IF(@x IS NULL, 'y', @x), as HeidiSQL writes. */
static int give_back_or(struct session_vars *v, enum field f, bool is_if, struct lexer *l,
                        struct token *t, struct err *e)
{
    const struct variable *from;
    char *name;
    int r;

    lexer_next(l, t);
    if (!take_punct(l, t, '(') || t->type != TOKEN_USER)
        return cannot_follow(e);
    name = token_text(t, l->mode);
    from = user_vars_get(v->variables, name);
    free(name);
    lexer_next(l, t);
    if (is_if && (!take_word(l, t, "IS") || !take_word(l, t, "NULL")))
        return cannot_follow(e);
    if (!take_punct(l, t, ','))
        return cannot_follow(e);
    r = literal(v, f, l, t, e);
    if (r == 0 && is_if) {
        if (!take_punct(l, t, ',') || t->type != TOKEN_USER)
            return cannot_follow(e);
        lexer_next(l, t);
    }
    if (r == 0 && !take_punct(l, t, ')'))
        return cannot_follow(e);
    return r == 0 && from->kind != VARIABLE_NULL ? give_back(v, f, from, e) : r;
}

/* The value behind '='; at the token behind it afterwards. */
static int assign(struct session_vars *v, enum field f, struct lexer *l, struct token *t,
                  struct err *e)
{
    if (t->type == TOKEN_USER) {
        char *name = token_text(t, l->mode);
        const struct variable *from = user_vars_get(v->variables, name);
        free(name);
        lexer_next(l, t);
        return give_back(v, f, from, e);
    }
    if (token_is(t, "IFNULL") || token_is(t, "COALESCE") || token_is(t, "IF"))
        return give_back_or(v, f, token_is(t, "IF"), l, t, e);
    return literal(v, f, l, t, e);
}

/* Stands at the value; leaves at the ',' or the end behind it. Notes the variables in it: what
 * gets a value from one is given back. */
static void skip_value(struct session_vars *v, bool back, struct lexer *l, struct token *t)
{
    int depth = 0;

    for (; t->type != TOKEN_END; lexer_next(l, t)) {
        if (token_is_punct(t, '('))
            depth++;
        else if (token_is_punct(t, ')'))
            depth--;
        else if (token_is_punct(t, ',') && depth <= 0)
            return;
        if (back && t->type == TOKEN_USER) {
            char *name = token_text(t, l->mode);
            user_vars_restored(v->variables, name);
            free(name);
        }
    }
}

/* The value that a variable gets from one token; `text` stays the caller's. */
static struct variable value_of(const struct session_vars *v, const struct token *t, char *text)
{
    struct variable x = {VARIABLE_UNKNOWN, -1, NULL};
    const char *system = strncasecmp(text, "session.", 8) == 0 ? text + 8 : text;

    if (t->type == TOKEN_USER) {
        x = *user_vars_get(v->variables, text);
        if (x.kind == VARIABLE_NULL)
            x.kind = VARIABLE_UNKNOWN; /* it is set now */
    } else if (t->type == TOKEN_STRING || t->type == TOKEN_NUMBER) {
        x.kind = VARIABLE_TEXT;
        x.value = text;
    } else if (t->type == TOKEN_SYSTEM && (x.field = field_of(system)) >= 0) {
        x.kind = VARIABLE_FIELD;
        x.value = v->now.f[x.field];
    }
    return x;
}

static int set_user_variable(struct session_vars *v, const char *name, struct lexer *l,
                             struct token *t, struct err *e)
{
    char *text = token_text(t, l->mode);
    struct variable x = value_of(v, t, text);
    int r = 0;

    if (t->type == TOKEN_PUNCT || t->type == TOKEN_END)
        r = err_set(e, EPERM, "the dump gives a variable a value that is not a plain word");
    lexer_next(l, t);
    if (t->type != TOKEN_END && !token_is_punct(t, ','))
        x = (struct variable){VARIABLE_UNKNOWN, -1, NULL}; /* an expression */
    if (r == 0)
        r = user_vars_set(v->variables, name, &x, e);
    skip_value(v, false, l, t);
    free(text);
    return r;
}

static int set_names(struct session_vars *v, struct lexer *l, struct token *t, struct err *e)
{
    char *cs;
    int r;

    lexer_next(l, t);
    cs = token_text(t, l->mode);
    r = put_checked(v, NAMES, cs, e);
    if (r == 0) {
        session_fields_put(v, CLIENT, cs);
        session_fields_put(v, COLLATION, "");
    }
    free(cs);
    lexer_next(l, t);
    if (r == 0 && token_is(t, "COLLATE")) {
        lexer_next(l, t);
        r = assign(v, COLLATION, l, t, e);
    }
    return r;
}

/* foreign_key_checks = 0 or 1 */
static void note_checks(struct session_vars *v, const char *name, const struct token *value)
{
    if (strcasecmp(name, "foreign_key_checks") != 0)
        return;
    v->checks = value->type != TOKEN_NUMBER || value->len != 1 ? CHECKS_UNTOUCHED
                : *value->p == '0'                             ? CHECKS_OFF
                                                               : CHECKS_ON;
}

static int set_one(struct session_vars *v, struct lexer *l, struct token *t, struct err *e)
{
    bool user = t->type == TOKEN_USER, global = false;
    char *name;
    const char *plain;
    int r, field;

    if (token_is(t, "NAMES"))
        return set_names(v, l, t, e);
    if (token_is(t, "SESSION") || token_is(t, "LOCAL"))
        lexer_next(l, t);
    else if (token_is(t, "GLOBAL") || token_is(t, "PERSIST") || token_is(t, "PASSWORD"))
        global = true;
    if (global)
        lexer_next(l, t);
    name = token_text(t, l->mode);
    plain = name;
    if (strncasecmp(plain, "session.", 8) == 0)
        plain += 8;
    else if (strncasecmp(plain, "global.", 7) == 0) {
        plain += 7;
        global = true;
    }
    lexer_next(l, t);
    if (token_is_punct(t, ':'))
        lexer_next(l, t);
    if (!token_is_punct(t, '=')) {
        r = err_set(e, EPERM, "cannot read a SET statement");
        goto out;
    }
    lexer_next(l, t);
    field = user ? -1 : field_of(plain);
    if (user) {
        r = set_user_variable(v, name, l, t, e);
    } else if (global && strcasecmp(plain, "gtid_purged") != 0 &&
               strcasecmp(plain, "gtid_slave_pos") != 0) {
        r = err_set(e, EPERM, "the dump would change the server's global setting '%.60s'", plain);
    } else if (!global && field >= 0) {
        struct lexer again = *l;
        struct token first = *t;
        r = assign(v, (enum field)field, l, t, e);
        skip_value(v, true, &again, &first);
    } else if (global || is_harmless(plain)) {
        r = 0;
        note_checks(v, plain, t);
        skip_value(v, true, l, t);
    } else {
        r = err_set(e, EPERM, "the dump sets '%.60s', which an import does not allow", plain);
    }
out:
    free(name);
    return r;
}

int set_statement_follow(struct session_vars *v, struct lexer *l, struct err *e)
{
    struct token t;

    if (v->n >= SETTINGS_MAX)
        return err_set(e, EPERM, "the dump uses more than %d combinations of session settings",
                       SETTINGS_MAX);
    for (;;) {
        int r;

        lexer_next(l, &t);
        r = set_one(v, l, &t, e);
        if (r < 0)
            return r;
        if (t.type == TOKEN_END)
            return 0;
        if (!token_is_punct(&t, ','))
            return err_set(e, EPERM, "cannot read a SET statement");
    }
}
