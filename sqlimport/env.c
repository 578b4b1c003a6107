/* SPDX-License-Identifier: MIT */
#include "sqlimport/env.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/ddl.h"
#include "sync/common/buf.h"

enum field { CLIENT, NAMES, COLLATION, SQL_MODE, TIME_ZONE, HISTORY, FIELDS };

struct setting {
    char *f[FIELDS]; /* COLLATION "" : the default of NAMES */
};

struct saved { /* a user variable that remembers a field */
    char *name;
    enum field field;
    char *value;
    struct saved *next;
};

struct env {
    struct dialect dialect;
    struct setting now;
    struct setting *all;
    int n;
    struct saved *saved;
};

static const char *const start[FIELDS] = {"utf8mb4", "utf8mb4", "", "", "SYSTEM", "0"};

struct env *env_new(const struct dialect *dialect)
{
    struct env *v = xcalloc(1, sizeof(*v));

    v->dialect = *dialect;
    for (int i = 0; i < FIELDS; i++)
        v->now.f[i] = xstrdup(start[i]);
    return v;
}

void env_free(struct env *v)
{
    if (!v)
        return;
    for (int i = 0; i < v->n; i++)
        for (int j = 0; j < FIELDS; j++)
            free(v->all[i].f[j]);
    for (int j = 0; j < FIELDS; j++)
        free(v->now.f[j]);
    while (v->saved) {
        struct saved *s = v->saved;
        v->saved = s->next;
        free(s->name);
        free(s->value);
        free(s);
    }
    free(v->all);
    free(v);
}

static void put(struct env *v, enum field f, const char *value)
{
    char *copy = xstrdup(value);

    free(v->now.f[f]);
    v->now.f[f] = copy;
}

static struct saved *find_saved(struct env *v, const char *name)
{
    for (struct saved *s = v->saved; s; s = s->next)
        if (strcasecmp(s->name, name) == 0)
            return s;
    return NULL;
}

static void save(struct env *v, const char *name, enum field f)
{
    struct saved *s = find_saved(v, name);

    if (!s) {
        s = xcalloc(1, sizeof(*s));
        s->name = xstrdup(name);
        s->next = v->saved;
        v->saved = s;
    }
    free(s->value);
    s->field = f;
    s->value = xstrdup(v->now.f[f]);
}

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

static int put_checked(struct env *v, enum field f, const char *value, struct err *e)
{
    bool named = f == CLIENT || f == NAMES || (f == COLLATION && *value);

    if (!safe_value(f, value) || (named && !isalpha((unsigned char)*value)))
        return err_set(e, EPERM, "a session setting has a strange value");
    if ((f == CLIENT || f == NAMES) && unsafe_charset(value))
        return err_set(e, EPERM,
                       "the dump is in character set '%s', which cannot be read safely; dump with "
                       "--default-character-set=utf8mb4",
                       value);
    put(v, f, value);
    return 0;
}

/* One value that stands behind '='. */
static int assign(struct env *v, int field, const struct token *t, struct token_mode mode,
                  struct err *e)
{
    char *text = token_text(t, mode);
    int r = 0;

    if (t->type == TOKEN_USER) {
        struct saved *s = find_saved(v, text);
        if (!s || (int)s->field != field)
            put(v, (enum field)field, start[field]);
        else
            put(v, (enum field)field, s->value);
    } else if (t->type == TOKEN_WORD || t->type == TOKEN_STRING ||
               (t->type == TOKEN_NUMBER && field == HISTORY)) {
        r = put_checked(v, (enum field)field, strcasecmp(text, "default") ? text : start[field], e);
    } else {
        r = err_set(e, EPERM, "a session setting has a value that is no plain word");
    }
    free(text);
    return r;
}

/* Stands at the value; leaves at the ',' or the end behind it. */
static void skip_value(struct lexer *l, struct token *t)
{
    int depth = 0;

    for (; t->type != TOKEN_END; lexer_next(l, t)) {
        if (token_is_punct(t, '('))
            depth++;
        else if (token_is_punct(t, ')'))
            depth--;
        else if (token_is_punct(t, ',') && depth <= 0)
            return;
    }
}

static int set_user_variable(struct env *v, const char *name, struct lexer *l, struct token *t,
                             struct err *e)
{
    const char *system;
    char *value;
    int field;

    if (t->type == TOKEN_SYSTEM || t->type == TOKEN_STRING || t->type == TOKEN_NUMBER ||
        t->type == TOKEN_USER || t->type == TOKEN_WORD) {
        value = token_text(t, l->mode);
        system = strncasecmp(value, "session.", 8) == 0 ? value + 8 : value;
        field = t->type == TOKEN_SYSTEM ? field_of(system) : -1;
        if (field >= 0)
            save(v, name, (enum field)field);
        free(value);
        skip_value(l, t);
        return 0;
    }
    return err_set(e, EPERM, "a variable gets a value that is no plain word");
}

static int set_names(struct env *v, struct lexer *l, struct token *t, struct err *e)
{
    char *cs;
    int r;

    lexer_next(l, t);
    cs = token_text(t, l->mode);
    r = put_checked(v, NAMES, cs, e);
    if (r == 0) {
        put(v, CLIENT, cs);
        put(v, COLLATION, "");
    }
    free(cs);
    lexer_next(l, t);
    if (r == 0 && token_is(t, "COLLATE")) {
        lexer_next(l, t);
        r = assign(v, COLLATION, t, l->mode, e);
        lexer_next(l, t);
    }
    return r;
}

static int set_one(struct env *v, struct lexer *l, struct token *t, struct err *e)
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
        r = assign(v, field, t, l->mode, e);
        lexer_next(l, t);
    } else if (global || is_harmless(plain)) {
        r = 0;
        skip_value(l, t);
    } else {
        r = err_set(e, EPERM, "the dump sets '%.60s', which an import does not allow", plain);
    }
out:
    free(name);
    return r;
}

int env_set(struct env *v, struct lexer *l, struct err *e)
{
    struct token t;

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

int env_current(struct env *v)
{
    for (int i = v->n - 1; i >= 0; i--) {
        bool same = true;
        for (int j = 0; j < FIELDS && same; j++)
            same = strcmp(v->all[i].f[j], v->now.f[j]) == 0;
        if (same)
            return i;
    }
    v->all = xrealloc(v->all, (size_t)(v->n + 1) * sizeof(*v->all));
    for (int j = 0; j < FIELDS; j++)
        v->all[v->n].f[j] = xstrdup(v->now.f[j]);
    return v->n++;
}

void env_collations(const struct env *v, struct strlist *ret)
{
    for (int i = 0; i < v->n; i++)
        if (*v->all[i].f[COLLATION])
            ddl_add_collation(ret, v->all[i].f[COLLATION]);
}

void env_replace_collation(struct env *v, const char *from, const char *to)
{
    for (int i = 0; i < v->n; i++) {
        char **name = &v->all[i].f[COLLATION];
        if (strcasecmp(*name, from) == 0) {
            free(*name);
            *name = xstrdup(to);
        }
    }
}

char *env_sql(const struct env *v, int id)
{
    char *const *f = v->all[id].f;
    struct buf b = BUF_INIT;

    buf_printf(&b, "SET NAMES %s, character_set_client=%s, sql_mode='%s', time_zone='%s'", f[NAMES],
               f[CLIENT], f[SQL_MODE], f[TIME_ZONE]);
    if (*f[COLLATION])
        buf_printf(&b, ", collation_connection=%s", f[COLLATION]);
    if (strcmp(f[HISTORY], start[HISTORY]) != 0) /* only servers that wrote it know it */
        buf_printf(&b, ", system_versioning_insert_history=%s", f[HISTORY]);
    return buf_detach(&b);
}

static bool has_mode(const char *modes, const char *mode)
{
    size_t n = strlen(mode);

    for (const char *p = modes; *p;) {
        size_t len = strcspn(p, ",");
        if (len == n && strncasecmp(p, mode, n) == 0)
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

/* Character sets of several bytes, whose bytes are all from 0x80 on but may be any number. */
static enum token_charset charset_of(const char *client)
{
    static const char *const several[] = {"eucjpms", "euckr", "gb2312", "ujis"};

    if (strncasecmp(client, "utf8", 4) == 0)
        return TOKEN_UTF8;
    for (size_t i = 0; i < sizeof(several) / sizeof(*several); i++)
        if (strcasecmp(client, several[i]) == 0)
            return TOKEN_ASCII;
    return TOKEN_SINGLE;
}

static struct token_mode mode_of(const struct env *v, const struct setting *s)
{
    const char *modes = s->f[SQL_MODE];
    struct token_mode m = {
        .no_backslash_escapes = has_mode(modes, "NO_BACKSLASH_ESCAPES"),
        .ansi_quotes = has_mode(modes, "ANSI_QUOTES") || has_mode(modes, "ANSI") ||
                       has_mode(modes, "ORACLE") || has_mode(modes, "DB2") ||
                       has_mode(modes, "MAXDB") || has_mode(modes, "MSSQL") ||
                       has_mode(modes, "POSTGRESQL"),
        .charset = charset_of(s->f[CLIENT]),
        .dialect = v->dialect,
    };
    return m;
}

bool env_mode_agrees(const struct env *v, int id, const char *modes)
{
    struct token_mode m = env_mode_of(v, id);

    return m.no_backslash_escapes == has_mode(modes, "NO_BACKSLASH_ESCAPES") &&
           m.ansi_quotes == has_mode(modes, "ANSI_QUOTES");
}

struct token_mode env_mode(const struct env *v)
{
    return mode_of(v, &v->now);
}

struct token_mode env_mode_of(const struct env *v, int id)
{
    return mode_of(v, &v->all[id]);
}
