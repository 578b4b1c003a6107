/* SPDX-License-Identifier: MIT */
#include "sync/master/db/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "sync/common/clock.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/answers.h"
#include "sync/master/db/intents.h"
#include "sync/master/db/meta.h"
#include "sync/master/db/registry_copy.h"

#define SLOTS  "sql"
#define CLONED "cloned:"

void mirror_release(struct mirror *m)
{
    scope_release(&m->scope);
    memset(m, 0, sizeof(*m));
}

static int check_name(const char *name, struct err *e)
{
    size_t n = strlen(name);

    if (n == 0 || n >= MIRROR_NAME_CAP || name[0] == '-' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != n)
        return err_set(e, EINVAL,
                       "'%.64s' is not a mirror name: use 1 to 32 of a-z, 0-9, '_' and '-', not "
                       "beginning with '-'",
                       name);
    return 0;
}

static char *list_text(const struct strlist *l)
{
    json_t *a = json_array();
    char *text;

    for (size_t i = 0; i < l->n; i++) {
        char *enc = path_encoded(l->v[i]);
        json_array_append_new(a, json_string(enc));
        free(enc);
    }
    text = json_dumps(a, JSON_COMPACT);
    json_decref(a);
    return text ? text : xstrdup("[]");
}

static void text_list(const char *text, struct strlist *ret)
{
    json_t *a = json_loads(text, 0, NULL), *item;
    size_t i;

    json_array_foreach(a, i, item)
    {
        char *path;
        if (json_is_string(item) && path_decode(json_string_value(item), &path) == 0) {
            strlist_add(ret, path);
            free(path);
        }
    }
    json_decref(a);
}

static char *make_token(struct hash *digest)
{
    struct buf b = BUF_INIT;
    uint8_t raw[32];

    file_random(raw, sizeof(raw));
    buf_puts(&b, "eefs_");
    base64_encode(&b, raw, sizeof(raw));
    for (size_t i = 0; i < b.len; i++) {
        if (b.data[i] == '+')
            b.data[i] = '-';
        else if (b.data[i] == '/')
            b.data[i] = '_';
    }
    while (b.data[b.len - 1] == '=')
        b.data[--b.len] = '\0';
    hash_bytes(b.data, b.len, digest);
    return buf_detach(&b);
}

/* Replaces the paths that a person wrote by tree paths. */
static int check_paths(struct strlist *l, const char *what, struct err *e)
{
    for (size_t i = 0; i < l->n; i++) {
        char *path = NULL;
        int r = path_from_text(l->v[i], &path);
        if (r == -ENAMETOOLONG)
            return err_set(e, EINVAL, "%s '%.200s…' is longer than a path in the folder can be",
                           what, l->v[i]);
        if (r < 0)
            return err_set(e, EINVAL,
                           "%s '%.200s' is not a path within the folder; give one such as uploads, "
                           "or / for everything",
                           what, l->v[i]);
        if (strpbrk(path, "*?")) {
            free(path);
            return err_set(e, EINVAL,
                           "%s '%.200s': patterns are not supported here; give the path of a "
                           "folder, which stands for everything below it, or / for everything",
                           what, l->v[i]);
        }
        free(l->v[i]);
        l->v[i] = path;
    }
    return 0;
}

/* A new scopegen (in *ret, unless that is NULL) for one mirror, or (NULL) for all: its cursor is
 * void, and hello reports the new scope. */
static int bump_scopegen(struct db *db, const char *name, int64_t *ret)
{
    int64_t gen = 0;
    int r = meta_get_int(db, "scopegen", 0, &gen);

    if (r == 0)
        r = meta_set_int(db, "scopegen", gen + 1);
    if (r == 0)
        r = db_run(db, "UPDATE mirror SET scopegen=?1 WHERE ?2 IS NULL OR name=?2", "is", gen + 1,
                   name);
    if (r >= 0 && ret)
        *ret = gen + 1;
    return r < 0 ? r : 0;
}

int registry_add(struct db *db, const char *name, struct strlist *read, struct strlist *write,
                 const char *url, char **token, struct err *e)
{
    struct strlist defaults = {0};
    char *slot = xasprintf(SLOTS "/%s", name), *r_text = NULL, *w_text = NULL, *tok = NULL;
    struct hash digest;
    int64_t there = 0, gen = 0;
    int r = check_name(name, e);

    if (r == 0)
        r = check_paths(read, "--read", e);
    if (r == 0)
        r = check_paths(write, "--write", e);
    if (r < 0)
        goto out;
    strlist_add(&defaults, "uploads");
    strlist_add(&defaults, slot);
    r_text = list_text(read);
    w_text = list_text(write->n ? write : &defaults);
    tok = make_token(&digest);
    r = db_begin(db);
    if (r == 0)
        r = db_get_int(db, 0, &there, "SELECT 1 FROM mirror WHERE name=?", "s", name);
    if (r == 0 && there) {
        db_rollback(db);
        r = err_set(e, EEXIST, "mirror '%s' exists already; remove it first to give it a new token",
                    name);
        goto out;
    }
    if (r == 0)
        r = bump_scopegen(db, NULL, &gen);
    if (r == 0)
        r = db_run(db,
                   "INSERT INTO mirror(name,token,read,write,scopegen,url,made) "
                   "VALUES(?,?,?,?,?,?,?)",
                   "shssisi", name, &digest, r_text, w_text, gen, url, clock_wall_ns());
    if (r >= 0)
        r = db_commit(db);
    if (r >= 0)
        r = db_sync(db);
    if (r < 0) {
        db_error(db, e, "cannot add the mirror");
        db_rollback(db);
        goto out;
    }
    (void)registry_copy_save(db); /* or by the next start of serve, which reports */
    *token = tok;
    tok = NULL;
out:
    free(tok);
    free(r_text);
    free(w_text);
    free(slot);
    strlist_release(&defaults);
    return r < 0 ? r : 0;
}

int registry_set(struct db *db, const char *name, struct strlist *read, struct strlist *write,
                 struct err *e)
{
    char *r_text, *w_text;
    int n = 0, r = check_paths(read, "--read", e);

    if (r == 0)
        r = check_paths(write, "--write", e);
    if (r < 0)
        return r;
    r_text = read->n ? list_text(read) : NULL;
    w_text = write->n ? list_text(write) : NULL;
    r = db_begin(db);
    if (r == 0)
        n = r = db_run(
            db, "UPDATE mirror SET read=coalesce(?1,read), write=coalesce(?2,write) WHERE name=?3",
            "sss", r_text, w_text, name);
    if (r > 0)
        r = bump_scopegen(db, name, NULL);
    if (r >= 0)
        r = db_commit(db);
    if (r >= 0)
        r = db_sync(db);
    free(r_text);
    free(w_text);
    if (r < 0) {
        db_error(db, e, "cannot change the mirror");
        db_rollback(db);
        return r;
    }
    if (n == 0)
        return err_set(e, ENOENT, "there is no mirror '%.64s'; 'mirror list' shows them", name);
    (void)registry_copy_save(db);
    return 0;
}

int registry_remove(struct db *db, const char *name, struct err *e)
{
    char *cloned = xasprintf(CLONED "%s", name);
    int n = 0, r = db_begin(db);

    if (r == 0)
        n = r = db_run(db, "DELETE FROM mirror WHERE name=?", "s", name);
    if (r >= 0)
        r = answers_forget(db, name);
    if (r >= 0)
        r = intents_forget(db, name);
    if (r >= 0)
        r = meta_remove(db, cloned);
    if (r >= 0)
        r = bump_scopegen(db, NULL, NULL);
    if (r >= 0)
        r = db_commit(db);
    free(cloned);
    if (r < 0) {
        db_error(db, e, "cannot remove the mirror");
        db_rollback(db);
        return r;
    }
    if (n == 0)
        return err_set(e, ENOENT, "there is no mirror '%.64s'; 'mirror list' shows them", name);
    (void)registry_copy_save(db);
    return 0;
}

/* Stores the list in `meta`; when it has changed, every mirror must ask for it. No list equals an
 * empty one. `what`: for the error. */
static int remember_list(struct db *db, const char *name, const struct strlist *l, const char *what,
                         struct err *e)
{
    char *text = list_text(l), *before = NULL;
    bool same = l->n == 0;
    int r = db_begin(db);

    if (r == 0)
        r = meta_get_text(db, name, &before);
    if (r == 1)
        same = strcmp(before, text) == 0;
    if (r >= 0 && !same)
        r = meta_set_text(db, name, text);
    if (r >= 0 && !same)
        r = bump_scopegen(db, NULL, NULL);
    if (r >= 0)
        r = db_commit(db);
    if (r < 0) {
        db_error(db, e, what);
        db_rollback(db);
    }
    free(before);
    free(text);
    return r < 0 ? r : 0;
}

int registry_exclude(struct db *db, const struct strlist *patterns, struct err *e)
{
    return remember_list(db, "exclude", patterns, "cannot store the exclude patterns", e);
}

int registry_volumes(struct db *db, const struct strlist *tops, struct err *e)
{
    return remember_list(db, "volumes", tops, "cannot store the filesystems below the folder", e);
}

static void fill(sqlite3_stmt *st, struct mirror *ret)
{
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->name, sizeof(ret->name), "%s", db_col_text(st, 0));
    text_list(db_col_text(st, 1), &ret->scope.read);
    text_list(db_col_text(st, 2), &ret->scope.write);
    ret->scopegen = sqlite3_column_int64(st, 3);
}

int registry_cloned(struct db *db, const char *name)
{
    char *key = xasprintf(CLONED "%s", name);
    int r = meta_set_int(db, key, clock_wall_ns());

    free(key);
    return r;
}

int registry_cloned_at(struct db *db, const char *name, int64_t *ret)
{
    char *key = xasprintf(CLONED "%s", name);
    int r = meta_get_int(db, key, 0, ret);

    free(key);
    return r;
}

int registry_scopegen(struct db *db, int64_t *ret)
{
    return meta_get_int(db, "scopegen", *ret, ret);
}

int registry_find(struct db *db, const char *token, struct mirror *ret)
{
    struct hash digest;
    sqlite3_stmt *st;
    struct mirror m;
    int r;

    hash_bytes(token, strlen(token), &digest);
    /* Both in one statement: a mirror that is added meanwhile is in both or in none. */
    st = db_query(db,
                  "SELECT me.name, me.read, me.write, me.scopegen, other.name FROM mirror me "
                  "LEFT JOIN mirror other ON other.name!=me.name WHERE me.token=?",
                  "h", &digest);
    r = db_step(db, st);
    if (r != 1)
        return r;
    fill(st, &m);
    do {
        if (sqlite3_column_type(st, 4) != SQLITE_NULL) {
            char *slot = xasprintf(SLOTS "/%s", db_col_text(st, 4));
            strlist_add(&m.scope.deny, slot);
            free(slot);
        }
    } while ((r = db_step(db, st)) == 1);
    if (r < 0) {
        mirror_release(&m);
        return r;
    }
    *ret = m;
    return 1;
}

int registry_each(struct db *db, void (*fn)(void *arg, const struct mirror *m), void *arg)
{
    sqlite3_stmt *st =
        db_query(db, "SELECT name, read, write, scopegen FROM mirror ORDER BY name", "");
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct mirror m;
        fill(st, &m);
        fn(arg, &m);
        mirror_release(&m);
    }
    return r;
}
