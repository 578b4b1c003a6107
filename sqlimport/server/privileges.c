/* SPDX-License-Identifier: MIT */
/*
 * SHOW GRANTS is read line by line into struct grant. Missing: for each of the three schemas, each
 * privilege on its list that no grant gives, as the GRANT to run. Excess: grants on any other
 * schema, on everything (but those that only show something), and the right to grant.
 */
#include "sqlimport/server/privileges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlimport/sql/syntax.h"
#include "sync/common/buf.h"

/* Foreign keys are checked for REFERENCES where a table is made and where it comes to lie. */
static const char *const live_needs[] = {"SELECT", "INSERT", "DELETE",     "CREATE", "ALTER",
                                         "DROP",   "INDEX",  "REFERENCES", NULL};
static const char *const old_needs[] = {"SELECT", "INSERT", "DELETE", "CREATE",
                                        "ALTER",  "DROP",   "INDEX",  NULL};

/* Privileges on the live database that each kind of object needs. */
static const struct {
    enum object_kind kind;
    const char *name;
} more_needs[] = {
    {OBJECT_VIEW, "CREATE VIEW"},        {OBJECT_VIEW, "SHOW VIEW"},
    {OBJECT_TRIGGER, "TRIGGER"},         {OBJECT_FUNCTION, "CREATE ROUTINE"},
    {OBJECT_FUNCTION, "ALTER ROUTINE"},  {OBJECT_PROCEDURE, "CREATE ROUTINE"},
    {OBJECT_PROCEDURE, "ALTER ROUTINE"}, {OBJECT_EVENT, "EVENT"},
};

/* One line of SHOW GRANTS. */
struct grant {
    struct strlist privileges; /* ALL PRIVILEGES is one of that name */
    char *schema, *object;     /* "*": all; the schema is a pattern of LIKE */
    bool grants;               /* WITH GRANT OPTION */
};

struct grants {
    struct grant *all;
    size_t n;
};

static void grants_release(struct grants *g)
{
    for (size_t i = 0; i < g->n; i++) {
        strlist_release(&g->all[i].privileges);
        free(g->all[i].schema);
        free(g->all[i].object);
    }
    free(g->all);
}

/* SELECT, CREATE VIEW, UPDATE (a, b): the words of one privilege; without its columns. */
static bool read_privilege(struct syntax *s, struct strlist *ret)
{
    struct buf b = BUF_INIT;

    while (syntax_is_name(s) && !syntax_is(s, "ON") && !syntax_is(s, "TO")) {
        char *word = token_text(&s->t, s->l.mode);
        buf_printf(&b, "%s%s", b.len ? " " : "", word);
        free(word);
        syntax_next(s);
    }
    if (syntax_take_punct(s, '('))
        while (s->t.type != TOKEN_END && !syntax_take_punct(s, ')'))
            syntax_next(s);
    if (b.len > 0)
        strlist_add(ret, b.data);
    buf_release(&b);
    return syntax_take_punct(s, ',');
}

static char *read_scope(struct syntax *s)
{
    char *name = syntax_is_punct(s, '*') ? xstrdup("*") : token_text(&s->t, s->l.mode);

    syntax_next(s);
    return name;
}

/* GRANT a, b ON [PROCEDURE] `schema`.* TO … [WITH GRANT OPTION]; false: a role, or a REVOKE. */
static bool read_grant(struct grant *g, const char *line)
{
    static const char *const kinds[] = {"TABLE", "FUNCTION", "PROCEDURE", "PACKAGE", "BODY", NULL};
    const struct token_mode mode = {0};
    struct syntax s;

    syntax_init(&s, line, strlen(line), mode, NULL);
    if (!syntax_take(&s, "GRANT"))
        return false;
    while (read_privilege(&s, &g->privileges))
        ;
    if (!syntax_take(&s, "ON"))
        return false;
    while (syntax_take_any(&s, kinds))
        ;
    g->schema = read_scope(&s);
    g->object = syntax_take_punct(&s, '.') ? read_scope(&s) : xstrdup("");
    while (s.t.type != TOKEN_END && !g->grants) {
        g->grants = syntax_take_two(&s, "GRANT", "OPTION");
        if (!g->grants)
            syntax_next(&s);
    }
    return true;
}

static int read_grants(struct server *s, struct grants *ret, struct err *e)
{
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(s, &res, e, "SHOW GRANTS");

    if (r < 0)
        return r;
    while ((row = mysql_fetch_row(res))) {
        struct grant g = {0};
        bool is = row[0] && read_grant(&g, row[0]);
        ret->all = xrealloc(ret->all, (ret->n + 1) * sizeof(g));
        ret->all[ret->n++] = g;
        if (!is) {
            ret->n--;
            strlist_release(&g.privileges);
        }
    }
    mysql_free_result(res);
    return 0;
}

/* The LIKE of database names in GRANT. */
static bool like(const char *pattern, const char *text)
{
    for (; *pattern; pattern++, text++) {
        if (*pattern == '%') {
            for (const char *t = text;; t++) {
                if (like(pattern + 1, t))
                    return true;
                if (!*t)
                    return false;
            }
        }
        if (*pattern == '\\' && pattern[1])
            pattern++;
        else if (*pattern == '_' && *text)
            continue;
        if (*pattern != *text)
            return false;
    }
    return !*text;
}

/* The pattern is this name, or was intended as this name. */
static bool names(const char *pattern, const char *schema)
{
    for (; *pattern && *schema; pattern++, schema++) {
        if (*pattern == '\\' && pattern[1])
            pattern++;
        if (*pattern != *schema)
            return false;
    }
    return !*pattern && !*schema;
}

static bool has(const struct grant *g, const char *privilege)
{
    for (size_t i = 0; i < g->privileges.n; i++)
        if (strcasecmp(g->privileges.v[i], privilege) == 0 ||
            strcasecmp(g->privileges.v[i], "ALL PRIVILEGES") == 0)
            return true;
    return false;
}

static void need(struct buf *missing, const struct grants *granted, const char *schema,
                 const char *name)
{
    for (size_t i = 0; i < granted->n; i++) {
        const struct grant *g = &granted->all[i];
        if (strcmp(g->object, "*") == 0 && like(g->schema, schema) && has(g, name))
            return;
        if (strcmp(g->schema, "*") == 0 && has(g, name))
            return;
    }
    if (missing->len == 0 || !strstr(missing->data, name))
        buf_printf(missing, "%s%s", missing->len ? ", " : "", name);
}

static bool has_kind(const struct dump *d, enum object_kind kind)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->objects[i]->kind == kind)
            return true;
    return false;
}

/* Appends a GRANT of the missing privileges on one schema. */
static void look(const struct grants *granted, const char *schema, const char *const *needs,
                 const struct dump *d, struct buf *ret)
{
    struct buf missing = BUF_INIT;

    for (size_t i = 0; needs[i]; i++)
        need(&missing, granted, schema, needs[i]);
    for (size_t i = 0; d && i < sizeof(more_needs) / sizeof(*more_needs); i++)
        if (has_kind(d, more_needs[i].kind))
            need(&missing, granted, schema, more_needs[i].name);
    if (missing.len > 0) {
        char *name = server_name(schema);
        buf_printf(ret, "%sGRANT %s ON %s.*", ret->len ? "; " : "", missing.data, name);
        free(name);
    }
    buf_release(&missing);
}

/* --- more than is needed --- */

/* Rights on all databases that only show something. */
static bool only_shows(const char *privilege)
{
    static const char *const words[] = {"USAGE", "PROCESS", "SHOW DATABASES"};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcasecmp(privilege, words[i]) == 0)
            return true;
    return false;
}

static void add_excess(struct buf *ret, const struct grant *g)
{
    bool global = strcmp(g->schema, "*") == 0;
    size_t shown = 0;

    for (size_t i = 0; i < g->privileges.n; i++) {
        if (only_shows(g->privileges.v[i]))
            continue;
        if (shown++ == 4) {
            buf_puts(ret, ", …");
            break;
        }
        buf_printf(ret, "%s%s", shown > 1 ? ", " : ret->len ? "; " : "", g->privileges.v[i]);
    }
    if (shown > 0 && global)
        buf_puts(ret, " on everything");
    else if (shown > 0)
        buf_printf(ret, " on '%s'", g->schema);
}

static char *find_excess(const struct grants *granted, const char *const *schemas)
{
    struct buf b = BUF_INIT;
    bool grants = false;

    for (size_t i = 0; i < granted->n; i++) {
        const struct grant *g = &granted->all[i];
        bool own = false;
        for (size_t k = 0; k < 3; k++)
            own = own || names(g->schema, schemas[k]);
        grants = grants || g->grants;
        if (!own && *g->object) /* PROXY has none */
            add_excess(&b, g);
    }
    if (grants)
        buf_printf(&b, "%sgranting rights to others", b.len ? "; " : "");
    return b.len ? buf_detach(&b) : NULL;
}

int privileges_check(struct server *s, const char *database, const char *stage, const char *old,
                     const struct dump *d, char **ret_excess, struct err *e)
{
    const char *const schemas[] = {database, stage, old};
    struct grants granted = {NULL, 0};
    struct buf missing = BUF_INIT;
    char *me = NULL;
    int r = read_grants(s, &granted, e);

    if (r == 0) {
        look(&granted, database, live_needs, d, &missing);
        look(&granted, stage, live_needs, NULL, &missing);
        look(&granted, old, old_needs, NULL, &missing);
    }
    if (r == 0 && missing.len > 0) {
        (void)server_value(s, &me, NULL, "SELECT CURRENT_USER()");
        r = err_set(e, EACCES, "the account '%s' lacks rights that an import needs; run: %s",
                    me ? me : "", missing.data);
    }
    if (r == 0)
        *ret_excess = find_excess(&granted, schemas);
    free(me);
    buf_release(&missing);
    grants_release(&granted);
    return r;
}
