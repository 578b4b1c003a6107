/* SPDX-License-Identifier: MIT */
/*
 * Three lists, each by name without regard to case: patterns of --keep-table; columns of
 * --keep-column; and ExpressionEngine's own ones, behind a prefix. The prefix is found in the
 * tables that were seen: the name of a table PREFIXsessions, if PREFIXchannel_titles or
 * PREFIXweblog_titles is there, too; exp_ if none is.
 */
#include "sqlimport/plan/keep_rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

#define PREFIX_DEFAULT "exp_"

/* ExpressionEngine's tables that belong to one server: sessions, throttles, caches. */
static const char *const own_tables[] = {
    "sessions",       "security_hashes", "throttle",     "captcha", "password_lockout",
    "reset_password", "remember_me",     "online_users", "search",  "email_tracker",
};

/* Each server writes them itself. */
static const struct {
    const char *table, *column;
} own_columns[] = {{"sites", "site_bootstrap_checksums"}};

struct column {
    const char *text; /* as it was given */
    char *table, *name;
};

struct keep_rules {
    const struct keep_args *a;
    struct column *columns;
    size_t n;
    struct strlist tables, prefixes, reports;
};

/* The name at *p, which is moved behind it; NULL: none. */
static char *read_name(const char **p)
{
    struct buf b = BUF_INIT;
    const char *s = *p;

    if (*s != '`') {
        size_t len = strcspn(s, ".`");
        *p = s + len;
        return len > 0 ? xstrndup(s, len) : NULL;
    }
    for (s++; *s && (*s != '`' || s[1] == '`'); s++) {
        buf_putc(&b, *s);
        s += *s == '`';
    }
    *p = *s ? s + 1 : s;
    if (*s && b.len > 0)
        return buf_detach(&b);
    buf_release(&b);
    return NULL;
}

static bool read_column(struct column *c, const char *text)
{
    const char *p = text;

    c->text = text;
    c->table = read_name(&p);
    if (c->table && *p == '.') {
        p++;
        c->name = read_name(&p);
    }
    return c->name && *p == '\0';
}

int keep_rules_new(const struct keep_args *args, struct keep_rules **ret, struct err *e)
{
    struct keep_rules *k = xcalloc(1, sizeof(*k));

    k->a = args;
    k->columns = xcalloc(args->columns->n + 1, sizeof(*k->columns));
    for (size_t i = 0; i < args->columns->n; i++) {
        if (read_column(&k->columns[k->n++], args->columns->v[i]))
            continue;
        keep_rules_free(k);
        return err_set(
            e, EINVAL,
            "--keep-column takes TABLE.COLUMN, not '%s': put a name that holds a dot or backtick "
            "in backticks",
            args->columns->v[i]);
    }
    keep_rules_begin(k);
    keep_rules_end(k);
    *ret = k;
    return 0;
}

void keep_rules_free(struct keep_rules *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++) {
        free(k->columns[i].table);
        free(k->columns[i].name);
    }
    free(k->columns);
    strlist_release(&k->reports);
    strlist_release(&k->tables);
    strlist_release(&k->prefixes);
    free(k);
}

static bool has(const struct strlist *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcasecmp(list->v[i], name) == 0)
            return true;
    return false;
}

void keep_rules_begin(struct keep_rules *k)
{
    strlist_release(&k->tables);
    strlist_release(&k->prefixes);
}

void keep_rules_see(struct keep_rules *k, const char *table)
{
    strlist_add(&k->tables, table);
}

/* The prefix of a table of sessions, malloc'd, or NULL. */
static char *prefix_of(const struct keep_rules *k, const char *table)
{
    static const char *const others[] = {"channel_titles", "weblog_titles"};
    size_t len = strlen(table), tail = strlen(own_tables[0]);
    bool found = false;
    char *prefix;

    if (len < tail || strcasecmp(table + len - tail, own_tables[0]) != 0)
        return NULL;
    prefix = xstrndup(table, len - tail);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others) && !found; i++) {
        char *other = xasprintf("%s%s", prefix, others[i]);
        found = has(&k->tables, other);
        free(other);
    }
    if (found)
        return prefix;
    free(prefix);
    return NULL;
}

void keep_rules_end(struct keep_rules *k)
{
    for (size_t i = 0; i < k->a->prefixes->n; i++)
        strlist_add(&k->prefixes, k->a->prefixes->v[i]);
    for (size_t i = 0; k->a->prefixes->n == 0 && i < k->tables.n; i++) {
        char *prefix = prefix_of(k, k->tables.v[i]);
        if (prefix && !has(&k->prefixes, prefix))
            strlist_add(&k->prefixes, prefix);
        free(prefix);
    }
    if (k->prefixes.n == 0)
        strlist_add(&k->prefixes, PREFIX_DEFAULT);
}

/* Is it this name behind one of the prefixes? */
static bool is_own(const struct keep_rules *k, const char *name, const char *own)
{
    for (size_t i = 0; i < k->prefixes.n; i++) {
        size_t len = strlen(k->prefixes.v[i]);
        if (strncasecmp(name, k->prefixes.v[i], len) == 0 && strcasecmp(name + len, own) == 0)
            return true;
    }
    return false;
}

bool keep_rules_table(const struct keep_rules *k, const char *name)
{
    for (size_t i = 0; i < k->a->patterns->n; i++)
        if (fnmatch(k->a->patterns->v[i], name, 0) == 0)
            return true;
    for (size_t i = 0; k->a->defaults && i < sizeof(own_tables) / sizeof(*own_tables); i++)
        if (is_own(k, name, own_tables[i]))
            return true;
    return false;
}

void keep_rules_columns(const struct keep_rules *k, const char *table, keep_fn *fn, void *arg)
{
    for (size_t i = 0; i < k->n; i++)
        if (strcasecmp(k->columns[i].table, table) == 0)
            fn(arg, k->columns[i].name, true);
    for (size_t i = 0; k->a->defaults && i < sizeof(own_columns) / sizeof(*own_columns); i++)
        if (is_own(k, table, own_columns[i].table))
            fn(arg, own_columns[i].column, false);
}

const char *keep_rules_lost(const struct keep_rules *k)
{
    for (size_t i = 0; i < k->n; i++)
        if (!has(&k->tables, k->columns[i].table))
            return k->columns[i].text;
    return NULL;
}

bool keep_rules_report(struct keep_rules *k, const char *sentence)
{
    if (*sentence == '\0' || has(&k->reports, sentence))
        return false;
    strlist_add(&k->reports, sentence);
    return true;
}
