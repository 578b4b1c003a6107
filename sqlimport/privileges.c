/* SPDX-License-Identifier: MIT */
#include "sqlimport/privileges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/common/buf.h"

/* Foreign keys are checked for REFERENCES where a table is made and where it comes to lie. */
static const char *const live_needs[] = {"SELECT", "INSERT", "DELETE",     "CREATE", "ALTER",
                                         "DROP",   "INDEX",  "REFERENCES", NULL};
static const char *const old_needs[] = {"SELECT", "INSERT", "DELETE", "CREATE",
                                        "ALTER",  "DROP",   "INDEX",  NULL};

/* What the kinds of objects need on the live database. */
static const struct {
    enum object_kind kind;
    const char *name;
} more_needs[] = {
    {OBJECT_VIEW, "CREATE VIEW"},        {OBJECT_VIEW, "SHOW VIEW"},
    {OBJECT_TRIGGER, "TRIGGER"},         {OBJECT_FUNCTION, "CREATE ROUTINE"},
    {OBJECT_FUNCTION, "ALTER ROUTINE"},  {OBJECT_PROCEDURE, "CREATE ROUTINE"},
    {OBJECT_PROCEDURE, "ALTER ROUTINE"}, {OBJECT_EVENT, "EVENT"},
};

static int read_granted(struct server *s, const char *schema, struct strlist *ret, struct err *e)
{
    char *text = server_text(schema);
    MYSQL_RES *res;
    MYSQL_ROW row;
    int r = server_query(s, &res, e,
                         "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE "
                         "GRANTEE=@eefs_me UNION SELECT PRIVILEGE_TYPE FROM "
                         "information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE=@eefs_me AND %s LIKE "
                         "TABLE_SCHEMA",
                         text);

    free(text);
    if (r < 0)
        return r;
    while ((row = mysql_fetch_row(res)))
        strlist_add(ret, row[0]);
    mysql_free_result(res);
    return 0;
}

static void need(struct buf *missing, const struct strlist *granted, const char *name)
{
    for (size_t i = 0; i < granted->n; i++)
        if (strcasecmp(granted->v[i], name) == 0)
            return;
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

/* Appends a GRANT for what is missing on one schema. */
static int look(struct server *s, const char *schema, const char *const *needs,
                const struct dump *d, struct buf *grants, struct err *e)
{
    struct strlist granted = {NULL, 0};
    struct buf missing = BUF_INIT;
    int r = read_granted(s, schema, &granted, e);

    for (size_t i = 0; r == 0 && needs[i]; i++)
        need(&missing, &granted, needs[i]);
    for (size_t i = 0; r == 0 && d && i < sizeof(more_needs) / sizeof(*more_needs); i++)
        if (has_kind(d, more_needs[i].kind))
            need(&missing, &granted, more_needs[i].name);
    if (missing.len > 0) {
        char *name = server_name(schema);
        buf_printf(grants, "%sGRANT %s ON %s.*", grants->len ? "; " : "", missing.data, name);
        free(name);
    }
    buf_release(&missing);
    strlist_release(&granted);
    return r;
}

int privileges_check(struct server *s, const char *database, const char *stage, const char *old,
                     const struct dump *d, struct err *e)
{
    struct buf grants = BUF_INIT;
    char *role = NULL, *me = NULL;
    int r;

    if (server_value(s, &role, NULL, "SELECT CURRENT_ROLE()") == 0 && role &&
        strcasecmp(role, "NONE") != 0) {
        free(role);
        return 0;
    }
    free(role);
    r = server_runf(s, e,
                    "SET @eefs_me=CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(),'@',1)),'@',"
                    "QUOTE(SUBSTRING_INDEX(CURRENT_USER(),'@',-1)))");
    if (r == 0)
        r = look(s, database, live_needs, d, &grants, e);
    if (r == 0)
        r = look(s, stage, live_needs, NULL, &grants, e);
    if (r == 0)
        r = look(s, old, old_needs, NULL, &grants, e);
    if (r == 0 && grants.len > 0) {
        (void)server_value(s, &me, NULL, "SELECT CURRENT_USER()");
        r = err_set(e, EACCES,
                    "the account '%s' may not do all that an import needs; missing is: %s",
                    me ? me : "", grants.data);
    }
    free(me);
    buf_release(&grants);
    return r;
}
