/* SPDX-License-Identifier: MIT */
#include "sync/proto/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/encode.h"
#include "sync/common/path.h"

int json_get_int(json_t *o, const char *name, int64_t min, int64_t max, bool none_ok, int64_t none,
                 int64_t *ret, struct err *e)
{
    json_t *v = json_object_get(o, name);
    int64_t n;

    if (!v && none_ok) {
        *ret = none;
        return 0;
    }
    if (!json_is_integer(v))
        return err_set(e, EPROTO, "'%s' is missing or not an integer", name);
    n = json_integer_value(v);
    if (n < min || n > max)
        return err_set(e, EPROTO, "'%s' is out of range: %lld", name, (long long)n);
    *ret = n;
    return 0;
}

int json_get_text(json_t *o, const char *name, const char **ret, struct err *e)
{
    const char *s = json_string_value(json_object_get(o, name));

    if (!s)
        return err_set(e, EPROTO, "'%s' is missing or not a string", name);
    *ret = s;
    return 0;
}

int json_get_path(json_t *o, const char *name, bool root_ok, char **ret, struct err *e)
{
    const char *text = NULL;
    char *path = NULL;
    int r = json_get_text(o, name, &text, e);

    if (r < 0)
        return r;
    if (path_decode(text, &path) < 0 || (!*path && !root_ok)) {
        free(path);
        return err_set(e, EPROTO, "'%s' is not a path of the tree: '%.200s'", name, text);
    }
    *ret = path;
    return 0;
}

int json_get_bytes(json_t *o, const char *name, size_t max, char **ret, struct err *e)
{
    struct buf out = BUF_INIT;
    const char *text = NULL;
    int r = json_get_text(o, name, &text, e);

    if (r < 0)
        return r;
    if (path_unescape(text, &out) < 0 || out.len == 0 || out.len > max) {
        buf_release(&out);
        return err_set(e, EPROTO, "'%s' is not percent-encoded text of 1 to %zu bytes", name, max);
    }
    *ret = buf_detach(&out);
    return 0;
}

int json_get_hash(json_t *o, const char *name, struct hash *ret, struct err *e)
{
    const char *text = NULL;
    int r = json_get_text(o, name, &text, e);

    if (r < 0)
        return r;
    if (hash_parse(text, ret) < 0)
        return err_set(e, EPROTO, "'%s' is not a content hash: '%.80s'", name, text);
    return 0;
}

int json_get_paths(json_t *o, const char *name, struct strlist *ret)
{
    json_t *a = json_object_get(o, name), *item;
    size_t i;

    if (!json_is_array(a))
        return -EPROTO;
    json_array_foreach(a, i, item)
    {
        char *path;

        if (!json_is_string(item) || path_decode(json_string_value(item), &path) < 0)
            return -EPROTO;
        strlist_add(ret, path);
        free(path);
    }
    return 0;
}

int json_get_data(json_t *o, const char *name, size_t max, struct buf *out, struct err *e)
{
    const char *text = NULL;
    size_t before = out->len;
    int r = json_get_text(o, name, &text, e);

    if (r < 0)
        return r;
    if (strlen(text) / 4 * 3 > max + 2 || base64_decode(out, text, strlen(text)) < 0 ||
        out->len - before > max) {
        out->len = before;
        return err_set(e, EPROTO, "'%s' is not base64 of at most %zu bytes", name, max);
    }
    return 0;
}

void json_set_path(json_t *o, const char *name, const char *path)
{
    char *text = path_encoded(path);

    json_object_set_new(o, name, json_string(text));
    free(text);
}

void json_set_paths(json_t *o, const char *name, const struct strlist *paths)
{
    json_t *a = json_array();

    for (size_t i = 0; i < paths->n; i++) {
        char *text = path_encoded(paths->v[i]);
        json_array_append_new(a, json_string(text));
        free(text);
    }
    json_object_set_new(o, name, a);
}

void json_set_hash(json_t *o, const char *name, const struct hash *h)
{
    char text[HASH_TEXT_CAP];

    json_object_set_new(o, name, json_string(hash_text(h, text)));
}

void json_set_data(json_t *o, const char *name, const struct buf *data)
{
    struct buf text = BUF_INIT;

    base64_encode(&text, data->data ? data->data : "", data->len);
    json_object_set_new(o, name, json_stringn(text.data ? text.data : "", text.len));
    buf_release(&text);
}
