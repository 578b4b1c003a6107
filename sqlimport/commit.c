/* SPDX-License-Identifier: MIT */
#include "sqlimport/commit.h"

#include <stdio.h>
#include <stdlib.h>

#include "sync/common/file.h"

#define COLUMNS                                                                                    \
    "(token CHAR(32) PRIMARY KEY, hash CHAR(67), made TIMESTAMP) ENGINE=InnoDB DEFAULT "           \
    "CHARSET=ascii"

void commit_init(struct commit *c, const char *stage, const struct hash *hash)
{
    uint8_t bytes[16];

    c->stage = stage;
    c->hash = *hash;
    file_random(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(c->token + 2 * i, 3, "%02x", bytes[i]);
}

static int write_row(const struct commit *c, const char *table, struct server *s, struct err *e)
{
    char *stage = server_name(c->stage);
    char hash[HASH_TEXT_CAP];
    int r = server_runf(s, e, "INSERT INTO %s.%s VALUES('%s', '%s', NOW())", stage, table, c->token,
                        hash_text(&c->hash, hash));

    free(stage);
    return r;
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

int commit_prepare_row(const struct commit *c, struct server *s, struct err *e)
{
    char *stage;
    bool there = false;
    int r = has_table(s, c->stage, "_eefs_state", &there, e);

    if (r < 0 || there)
        return r;
    stage = server_name(c->stage);
    r = server_runf(s, e, "CREATE TABLE IF NOT EXISTS %s._eefs_state " COLUMNS, stage);
    free(stage);
    return r;
}

int commit_write_row(const struct commit *c, struct server *s, struct err *e)
{
    char *stage = server_name(c->stage);
    int r = server_runf(s, e, "DELETE FROM %s._eefs_state", stage);

    free(stage);
    return r < 0 ? r : write_row(c, "_eefs_state", s, e);
}

int commit_prepare_table(const struct commit *c, struct server *s, struct err *e)
{
    char *stage = server_name(c->stage);
    int r = server_runf(s, e, "DROP TABLE IF EXISTS %s._eefs_state_new", stage);

    if (r == 0)
        r = server_runf(s, e, "CREATE TABLE %s._eefs_state_new " COLUMNS, stage);
    if (r == 0)
        r = write_row(c, "_eefs_state_new", s, e);
    free(stage);
    return r;
}

int commit_is_done(const struct commit *c, struct server *s, struct err *e)
{
    char *stage = server_name(c->stage), *there = NULL;
    bool state = false;
    int r = has_table(s, c->stage, "_eefs_state", &state, e);

    if (r == 0 && state)
        r = server_value(s, &there, e, "SELECT 1 FROM %s._eefs_state WHERE token='%s'", stage,
                         c->token);
    free(stage);
    if (r == 0)
        r = there != NULL;
    free(there);
    return r;
}

int commit_put_renames(const struct schemas *schemas, struct server *s, struct buf *b,
                       struct err *e)
{
    char *old = server_name(schemas->old);
    bool next = false, now = false, before = false;
    int r = has_table(s, schemas->stage, "_eefs_state_new", &next, e);

    if (r == 0 && next)
        r = has_table(s, schemas->stage, "_eefs_state", &now, e);
    if (r == 0 && now)
        r = has_table(s, schemas->old, "_eefs_state", &before, e);
    if (r == 0 && before)
        r = server_runf(s, e, "DROP TABLE IF EXISTS %s._eefs_state", old);
    if (r == 0 && now)
        record_put_rename(b, schemas->stage, "_eefs_state", schemas->old, "_eefs_state");
    if (r == 0 && next)
        record_put_rename(b, schemas->stage, "_eefs_state_new", schemas->stage, "_eefs_state");
    free(old);
    return r;
}
