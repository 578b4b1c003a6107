/* SPDX-License-Identifier: MIT */
#include "sync/proto/scope.h"

#include <errno.h>
#include <stdlib.h>

#include "sync/common/path.h"
#include "sync/proto/json.h"

void scope_release(struct scope *s)
{
    strlist_release(&s->read);
    strlist_release(&s->write);
    strlist_release(&s->deny);
}

static bool under_any(const struct strlist *dirs, const char *path)
{
    for (size_t i = 0; i < dirs->n; i++)
        if (path_is_under(path, dirs->v[i]))
            return true;
    return false;
}

bool scope_reads(const struct scope *s, const char *path)
{
    return !under_any(&s->deny, path) && (s->read.n == 0 || under_any(&s->read, path));
}

bool scope_shows(const struct scope *s, const char *path)
{
    if (scope_reads(s, path))
        return true;
    if (under_any(&s->deny, path))
        return false;
    for (size_t i = 0; i < s->read.n; i++)
        if (path_is_under(s->read.v[i], path))
            return true;
    return false;
}

bool scope_writes(const struct scope *s, const char *path)
{
    return under_any(&s->write, path) && scope_reads(s, path);
}

bool scope_is_write_root(const struct scope *s, const char *path)
{
    /* A folder above a write path counts too: removing it would take the write path along. */
    for (size_t i = 0; i < s->write.n; i++)
        if (path_is_under(s->write.v[i], path))
            return true;
    return false;
}

static void list_to_json(const struct strlist *l, const char *name, json_t *object)
{
    json_t *a = json_array();

    for (size_t i = 0; i < l->n; i++) {
        char *text = path_encoded(l->v[i]);
        json_array_append_new(a, json_string(text));
        free(text);
    }
    json_object_set_new(object, name, a);
}

void scope_to_json(const struct scope *s, json_t *object)
{
    list_to_json(&s->read, "read", object);
    list_to_json(&s->write, "write", object);
    list_to_json(&s->deny, "deny", object);
}

static int list_from_json(json_t *object, const char *name, struct strlist *ret)
{
    json_t *a = json_object_get(object, name);
    json_t *item;
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

int scope_from_json(json_t *object, struct scope *ret)
{
    struct scope s = {0};

    if (list_from_json(object, "read", &s.read) < 0 ||
        list_from_json(object, "write", &s.write) < 0 ||
        list_from_json(object, "deny", &s.deny) < 0) {
        scope_release(&s);
        return -EPROTO;
    }
    *ret = s;
    return 0;
}
