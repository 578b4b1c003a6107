/* SPDX-License-Identifier: MIT */
/*
 * The locks are numbered. An importer takes the first whose holder is not dead, and then looks at
 * all others: of two importers that take different ones at the same moment, the later to look sees
 * the other, and gives up.
 */
#include "sqlimport/server/import_lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

#define LOCKS         8 /* all but one may be held by dead connections */
#define LOCK_NAME_CAP 64
#define WAIT_S        5 /* for an importer that just died, whose connection still ends */

/* malloc'd text of SQL. */
static char *lock_text(const char *database, int i)
{
    char *name =
        i == 0 ? xasprintf("eefs_import_%s", database) : xasprintf("eefs_import%d_%s", i, database);
    char *text;

    if (strlen(name) > LOCK_NAME_CAP)
        name[LOCK_NAME_CAP] = '\0';
    text = server_text(name);
    free(name);
    return text;
}

static int get(struct server *s, const char *text, int seconds, bool *ret, struct err *e)
{
    char *got = NULL;
    int r = server_value(s, &got, e, "SELECT GET_LOCK(%s, %d)", text, seconds);

    *ret = got && *got == '1';
    free(got);
    return r;
}

enum holder {
    HOLDER_NONE, /* or this connection */
    HOLDER_DEAD, /* killed, and runs no statement */
    HOLDER_ALIVE,
};

/* Without the right PROCESS a server shows an account's own connections only: a dead one of another
 * account counts as alive. *ret_id is malloc'd. */
static int who_holds(struct server *s, const char *text, enum holder *ret, char **ret_id,
                     struct err *e)
{
    char *dead = NULL;
    int r = server_value(s, ret_id, e, "SELECT NULLIF(IS_USED_LOCK(%s), CONNECTION_ID())", text);

    *ret = HOLDER_NONE;
    if (r < 0 || !*ret_id)
        return r;
    r = server_value(s, &dead, e,
                     "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID=%s AND "
                     "COMMAND='Killed' AND INFO IS NULL",
                     *ret_id);
    *ret = dead ? HOLDER_DEAD : HOLDER_ALIVE;
    free(dead);
    return r;
}

static int busy(const char *database, const char *id, struct err *e)
{
    return err_set(e, EAGAIN, "another import into '%s' is running%s%s", database,
                   id ? ", by the server's connection " : "", id ? id : "");
}

/* 1: taken; 0: its holder is dead. */
static int take(struct server *s, const char *database, int i, struct err *e)
{
    char *text = lock_text(database, i), *id = NULL;
    enum holder holder = HOLDER_NONE;
    bool got = false;
    int r = get(s, text, 0, &got, e);

    if (r == 0 && !got)
        r = who_holds(s, text, &holder, &id, e);
    if (r == 0 && !got && holder != HOLDER_DEAD) {
        r = get(s, text, WAIT_S, &got, e);
        free(id);
        id = NULL;
        if (r == 0 && !got)
            r = who_holds(s, text, &holder, &id, e);
    }
    if (r == 0 && !got && holder != HOLDER_DEAD)
        r = busy(database, id, e);
    free(id);
    free(text);
    return r < 0 ? r : got;
}

/* One question for all locks: does another connection, dead or alive, hold one? */
static int is_any_held(struct server *s, const char *database, bool *ret, struct err *e)
{
    struct buf b = BUF_INIT;
    char *id = NULL;
    int r;

    for (int i = 0; i < LOCKS; i++) {
        char *text = lock_text(database, i);
        buf_printf(&b, "%sNULLIF(IS_USED_LOCK(%s), CONNECTION_ID())", i ? ", " : "", text);
        free(text);
    }
    r = server_value(s, &id, e, "SELECT COALESCE(%s)", b.data);
    *ret = id != NULL;
    free(id);
    buf_release(&b);
    return r;
}

/* Nobody alive has one of the others. */
static int look_at_others(struct server *s, const char *database, int mine, struct buf *dead,
                          struct err *e)
{
    bool any = false;
    int r = is_any_held(s, database, &any, e);

    for (int i = 0; any && i < LOCKS && r == 0; i++) {
        char *text = lock_text(database, i), *id = NULL;
        enum holder holder = HOLDER_NONE;
        if (i != mine)
            r = who_holds(s, text, &holder, &id, e);
        if (r == 0 && holder == HOLDER_ALIVE)
            r = busy(database, id, e);
        if (r == 0 && holder == HOLDER_DEAD)
            buf_printf(dead, "%s%s", dead->len ? ", " : "", id);
        free(id);
        free(text);
    }
    return r;
}

int import_lock_take(struct server *s, const char *database, char **ret_dead, struct err *e)
{
    struct buf dead = BUF_INIT;
    int r = 0, i = 0;

    *ret_dead = NULL;
    while (i < LOCKS && (r = take(s, database, i, e)) == 0)
        i++;
    if (r == 0)
        r = err_set(e, EAGAIN,
                    "cannot import into '%s': connections that were killed and do not end hold all "
                    "its import locks; restart the database server",
                    database);
    if (r == 1)
        r = look_at_others(s, database, i, &dead, e);
    if (r == 0 && dead.len > 0)
        *ret_dead = xasprintf("the server keeps connections that were killed (%s), with their "
                              "locks; restart the database server to end them",
                              dead.data);
    buf_release(&dead);
    return r;
}
