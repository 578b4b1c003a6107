/* SPDX-License-Identifier: MIT */
#include "sqlimport/apply/commit_marker.h"

#include <stdio.h>
#include <stdlib.h>

#include "sync/common/file.h"

#define COLUMNS                                                                                    \
    "(token CHAR(32) PRIMARY KEY, hash CHAR(67), made TIMESTAMP) ENGINE=InnoDB DEFAULT "           \
    "CHARSET=ascii"
#define PENDING "_eefs_todo_"
#define DONE    "_eefs_done_"

void commit_marker_init(struct commit_marker *c, const char *stage, const struct hash *hash)
{
    uint8_t bytes[16];

    c->stage = stage;
    c->hash = *hash;
    file_random(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(c->token + 2 * i, 3, "%02x", bytes[i]);
}

static int has_table(struct server *s, const char *schema, const char *table, bool *ret,
                     struct err *e)
{
    char *text = server_text(schema), *there = NULL;
    int r = server_value(s, &there, e,
                         "SELECT 1 FROM information_schema.TABLES WHERE "
                         "TABLE_SCHEMA=%s AND TABLE_NAME='%s'",
                         text, table);

    *ret = there != NULL;
    free(there);
    free(text);
    return r;
}

int commit_marker_prepare_row(const struct commit_marker *c, struct server *s, struct err *e)
{
    char *stage;
    bool there = false;
    int r = has_table(s, c->stage, COMMIT_STATE, &there, e);

    if (r < 0 || there)
        return r;
    stage = server_name(c->stage);
    r = server_runf(s, e, "CREATE TABLE IF NOT EXISTS %s." COMMIT_STATE " " COLUMNS, stage);
    free(stage);
    return r;
}

int commit_marker_write_row(const struct commit_marker *c, struct server *s, struct err *e)
{
    char *stage = server_name(c->stage);
    char hash[HASH_TEXT_CAP];
    int r = server_runf(s, e, "DELETE FROM %s." COMMIT_STATE, stage);

    if (r == 0)
        r = server_runf(s, e, "INSERT INTO %s." COMMIT_STATE " VALUES('%s', '%s', NOW())", stage,
                        c->token, hash_text(&c->hash, hash));
    free(stage);
    return r;
}

int commit_marker_row_is_done(const struct commit_marker *c, struct server *s, struct err *e)
{
    char *stage = server_name(c->stage), *there = NULL;
    bool state = false;
    int r = has_table(s, c->stage, COMMIT_STATE, &state, e);

    if (r == 0 && state)
        r = server_value(s, &there, e, "SELECT 1 FROM %s." COMMIT_STATE " WHERE token='%s'", stage,
                         c->token);
    free(stage);
    if (r == 0)
        r = there != NULL;
    free(there);
    return r;
}

/* --- the marker --- */

static void marker_name(char name[64], const char *prefix, const char *token)
{
    snprintf(name, 64, "%s%.32s", prefix, token);
}

int commit_marker_prepare_marker(const struct commit_marker *c, struct server *s, struct err *e)
{
    char *stage = server_name(c->stage), name[64];
    int r;

    marker_name(name, PENDING, c->token);
    r = server_runf(s, e, "CREATE TABLE %s.%s (n INT PRIMARY KEY) ENGINE=InnoDB", stage, name);
    free(stage);
    return r;
}

int commit_marker_put_rename(const char *stage, const char *token, struct server *s, struct buf *b,
                             struct err *e)
{
    char todo[64], done[64];
    bool there = false;
    int r;

    marker_name(todo, PENDING, token);
    marker_name(done, DONE, token);
    r = has_table(s, stage, todo, &there, e);
    if (r == 0 && there)
        move_record_put_rename(b, stage, todo, stage, done);
    return r;
}

int commit_marker_is_done(const char *stage, const char *token, struct server *s, struct err *e)
{
    char name[64];
    bool there = false;
    int r;

    marker_name(name, DONE, token);
    r = has_table(s, stage, name, &there, e);
    return r < 0 ? r : there;
}

int commit_marker_drop_markers(const char *stage, struct server *s, struct err *e)
{
    char *text = server_text(stage), *name = server_name(stage);
    MYSQL_RES *res = NULL;
    MYSQL_ROW row;
    int r = server_query(s, &res, e,
                         "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA=%s "
                         "AND (TABLE_NAME LIKE '\\_eefs\\_todo\\_%%' OR TABLE_NAME LIKE "
                         "'\\_eefs\\_done\\_%%')",
                         text);

    while (r == 0 && (row = mysql_fetch_row(res))) {
        char *table = server_name(row[0]);
        r = server_runf(s, e, "DROP TABLE IF EXISTS %s.%s", name, table);
        free(table);
    }
    if (res)
        mysql_free_result(res);
    free(text);
    free(name);
    return r;
}
