/* SPDX-License-Identifier: MIT */
#include "sync/master/db/registry_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/master/db/meta.h"

#define FILE_MAX (64 << 20)

static char *path_of(struct db *db)
{
    const char *path = sqlite3_db_filename(db_handle(db), "main");
    const char *slash = path ? strrchr(path, '/') : NULL;

    return xasprintf("%.*smirrors.json", slash ? (int)(slash - path) + 1 : 0, slash ? path : "");
}

static json_t *text(sqlite3_stmt *st, int col)
{
    return sqlite3_column_type(st, col) == SQLITE_NULL ? json_null()
                                                       : json_string(db_col_text(st, col));
}

static int dump(struct db *db, struct buf *out)
{
    sqlite3_stmt *st = db_query(
        db, "SELECT name,token,read,write,scopegen,url,made FROM mirror ORDER BY name", "");
    json_t *list = json_array();
    char sum[HASH_TEXT_CAP], *line;
    struct hash h;
    int r;

    while ((r = db_step(db, st)) == 1) {
        struct buf token = BUF_INIT;

        buf_puts(&token, "");
        hex_encode(&token, sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
        json_array_append_new(
            list, json_pack("{s:o,s:s,s:o,s:o,s:I,s:o,s:I}", "name", text(st, 0), "token",
                            token.data, "read", text(st, 2), "write", text(st, 3), "scopegen",
                            (json_int_t)sqlite3_column_int64(st, 4), "url", text(st, 5), "made",
                            (json_int_t)sqlite3_column_int64(st, 6)));
        buf_release(&token);
    }
    line = r < 0 ? NULL : json_dumps(list, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(list);
    if (!line)
        return r < 0 ? r : -ENOMEM;
    hash_bytes(line, strlen(line), &h);
    buf_printf(out, "%s\n%s\n", line, hash_text(&h, sum));
    free(line);
    return 0;
}

int registry_copy_save(struct db *db)
{
    struct buf now = BUF_INIT, was = BUF_INIT;
    char *path = path_of(db);
    int r = dump(db, &now);

    if (r == 0 && (file_slurp(AT_FDCWD, path, FILE_MAX, &was) < 0 || was.len != now.len ||
                   memcmp(was.data, now.data, now.len) != 0))
        r = file_replace(AT_FDCWD, path, now.data, now.len, 0600, true);
    buf_release(&now);
    buf_release(&was);
    free(path);
    return r;
}

/* New reference, NULL: the file is damaged. */
static json_t *parse(const struct buf *b)
{
    const char *end = b->len ? memchr(b->data, '\n', b->len) : NULL;
    char sum[HASH_TEXT_CAP];
    struct hash h;

    if (!end)
        return NULL;
    hash_bytes(b->data, (size_t)(end - b->data), &h);
    hash_text(&h, sum);
    if (strncmp(end + 1, sum, strlen(sum)) != 0)
        return NULL;
    return json_loadb(b->data, (size_t)(end - b->data), 0, NULL);
}

static int insert(struct db *db, json_t *o)
{
    struct buf token = BUF_INIT;
    const char *hex = json_string_value(json_object_get(o, "token"));
    int64_t gen = 0;
    int r;

    for (; hex && hex[0] && hex[1]; hex += 2) {
        char two[3] = {hex[0], hex[1], '\0'};
        buf_putc(&token, (char)strtoul(two, NULL, 16));
    }
#define TEXT(name) json_string_value(json_object_get(o, name))
#define INT(name)  (int64_t) json_integer_value(json_object_get(o, name))
    r = db_run(db,
               "INSERT OR REPLACE INTO mirror(name,token,read,write,scopegen,url,made)"
               " VALUES(?,?,?,?,?,?,?)",
               "sbssisi", TEXT("name"), token.data, token.len, TEXT("read"), TEXT("write"),
               INT("scopegen"), TEXT("url"), INT("made"));
    if (r >= 0)
        r = meta_get_int(db, "scopegen", -1, &gen);
    if (r >= 0 && gen < INT("scopegen"))
        r = meta_set_int(db, "scopegen", INT("scopegen"));
#undef TEXT
#undef INT
    buf_release(&token);
    return r < 0 ? r : 0;
}

static int put_back(struct db *db, json_t *list)
{
    int r = db_begin(db);
    size_t i;
    json_t *o;

    if (r == 0)
        r = db_run(db, "DELETE FROM mirror", "");
    json_array_foreach(list, i, o) if (r >= 0) r = insert(db, o);
    if (r >= 0)
        r = db_commit(db);
    else
        db_rollback(db);
    return r < 0 ? r : (int)json_array_size(list);
}

int registry_copy_restore(struct db *db, bool always)
{
    struct buf b = BUF_INIT;
    char *path = path_of(db);
    json_t *list = NULL;
    int64_t any = 1;
    int r = always ? 0 : db_get_int(db, 0, &any, "SELECT 1 FROM mirror LIMIT 1", "");

    if (r == 0 && (always || !any)) {
        r = file_slurp(AT_FDCWD, path, FILE_MAX, &b);
        if (r == 0) {
            list = parse(&b);
            r = list ? put_back(db, list) : -EUCLEAN;
        } else if (r == -ENOENT) {
            r = 0;
        }
    }
    json_decref(list);
    buf_release(&b);
    free(path);
    return r;
}
