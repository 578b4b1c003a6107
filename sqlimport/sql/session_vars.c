/* SPDX-License-Identifier: MIT */
/*
 * Settings are interned: a combination of fields has one number, found by a tree of their text; a
 * statement of the dump keeps the number only. `now` is the session as it would be, `current` its
 * number once somebody has asked for it. set_statement.c changes `now`.
 */
#include "sqlimport/sql/session_vars.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/ddl.h"
#include "sqlimport/sql/session_fields.h"
#include "sync/common/buf.h"

struct known { /* a node of the index of `all` */
    char *key;
    int id;
};

static const char *const start[FIELDS] = {"utf8mb4", "utf8mb4", "", "", "SYSTEM", "0"};

/* The fields of a new session. */
const char *session_fields_start(const struct session_vars *v, enum field f)
{
    return f == SQL_MODE && v->dialect.sql_mode ? v->dialect.sql_mode : start[f];
}

struct session_vars *session_vars_new(const struct dialect *dialect)
{
    struct session_vars *v = xcalloc(1, sizeof(*v));

    v->dialect = *dialect;
    v->sql_mode = dialect->sql_mode ? xstrdup(dialect->sql_mode) : NULL;
    v->dialect.sql_mode = v->sql_mode;
    for (int i = 0; i < FIELDS; i++)
        v->now.f[i] = xstrdup(session_fields_start(v, (enum field)i));
    v->current = -1;
    v->variables = user_vars_new();
    return v;
}

static void free_known(void *node)
{
    struct known *k = node;

    free(k->key);
    free(k);
}

void session_vars_free(struct session_vars *v)
{
    if (!v)
        return;
    for (int i = 0; i < v->n; i++)
        for (int j = 0; j < FIELDS; j++)
            free(v->all[i].f[j]);
    for (int j = 0; j < FIELDS; j++)
        free(v->now.f[j]);
    tdestroy(v->index, free_known);
    user_vars_free(v->variables);
    free(v->sql_mode);
    free(v->all);
    free(v);
}

void session_fields_put(struct session_vars *v, enum field f, const char *value)
{
    char *copy = xstrdup(value);

    free(v->now.f[f]);
    v->now.f[f] = copy;
    v->current = -1;
}

static int compare(const void *a, const void *b)
{
    const struct known *x = a, *y = b;

    return strcmp(x->key, y->key);
}

static int number_of(struct session_vars *v, const struct setting *s)
{
    struct buf key = BUF_INIT;
    struct known *k = xcalloc(1, sizeof(*k));
    void *const *node;

    for (int j = 0; j < FIELDS; j++)
        buf_printf(&key, "%s|", s->f[j]);
    k->key = buf_detach(&key);
    k->id = v->n;
    node = tsearch(k, &v->index, compare);
    if (!node)
        abort();
    if (*node != k) {
        free_known(k);
        return (*(struct known *const *)node)->id;
    }
    v->all = xrealloc(v->all, (size_t)(v->n + 1) * sizeof(*v->all));
    for (int j = 0; j < FIELDS; j++)
        v->all[v->n].f[j] = xstrdup(s->f[j]);
    return v->n++;
}

int session_vars_current(struct session_vars *v)
{
    if (v->current < 0)
        v->current = number_of(v, &v->now);
    return v->current;
}

int session_vars_as_utf8(struct session_vars *v, int id)
{
    char utf8[] = "utf8mb4";
    struct setting s = v->all[id];

    s.f[CLIENT] = utf8;
    return number_of(v, &s);
}

int session_vars_as_bytes(struct session_vars *v, int id)
{
    char binary[] = "binary";
    struct setting s = v->all[id];
    size_t len = strlen(s.f[NAMES]);
    bool same = strcasecmp(s.f[CLIENT], s.f[NAMES]) == 0 &&
                (!*s.f[COLLATION] ||
                 (strncasecmp(s.f[COLLATION], s.f[NAMES], len) == 0 && s.f[COLLATION][len] == '_'));

    if (!same || strncasecmp(s.f[CLIENT], "utf8", 4) != 0)
        return id;
    s.f[CLIENT] = binary;
    return number_of(v, &s);
}

void session_vars_break(struct session_vars *v, bool object)
{
    user_vars_break(v->variables, object);
    v->checks_off = v->checks_off || (object && v->checks == CHECKS_OFF);
    if (object || v->checks == CHECKS_ON)
        v->checks = CHECKS_UNTOUCHED;
}

bool session_vars_is_restored(const struct session_vars *v)
{
    return user_vars_all_restored(v->variables);
}

bool session_vars_has_saved(const struct session_vars *v)
{
    return user_vars_saved(v->variables) > 0;
}

bool session_vars_checks_are_back(const struct session_vars *v)
{
    return v->checks_off && v->checks == CHECKS_ON;
}

const char *session_vars_charset(const struct session_vars *v)
{
    return v->now.f[CLIENT];
}

const char *session_vars_charset_of(const struct session_vars *v, int id)
{
    return v->all[id].f[CLIENT];
}

void session_vars_collations(const struct session_vars *v, struct strlist *ret)
{
    for (int i = 0; i < v->n; i++)
        if (*v->all[i].f[COLLATION])
            ddl_add_collation(ret, v->all[i].f[COLLATION]);
}

void session_vars_replace_collation(struct session_vars *v, const char *from, const char *to)
{
    for (int i = 0; i < v->n; i++) {
        char **name = &v->all[i].f[COLLATION];
        if (strcasecmp(*name, from) == 0) {
            free(*name);
            *name = xstrdup(to);
        }
    }
}

char *session_vars_sql(const struct session_vars *v, int id)
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

static struct token_mode mode_of(const struct session_vars *v, const struct setting *s)
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

bool session_vars_mode_agrees(const struct session_vars *v, int id, const char *modes)
{
    struct token_mode m = session_vars_mode_of(v, id);

    return m.no_backslash_escapes == has_mode(modes, "NO_BACKSLASH_ESCAPES") &&
           m.ansi_quotes == has_mode(modes, "ANSI_QUOTES");
}

bool session_vars_has_mode(const struct session_vars *v, int id, const char *mode)
{
    return has_mode(v->all[id].f[SQL_MODE], mode);
}

const char *session_vars_sql_mode(const struct session_vars *v, int id)
{
    return v->all[id].f[SQL_MODE];
}

struct token_mode session_vars_mode(const struct session_vars *v)
{
    return mode_of(v, &v->now);
}

struct token_mode session_vars_mode_of(const struct session_vars *v, int id)
{
    return mode_of(v, &v->all[id]);
}
