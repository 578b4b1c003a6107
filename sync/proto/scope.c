/* SPDX-License-Identifier: MIT */
#include "sync/proto/scope.h"

#include <errno.h>

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

void scope_to_json(const struct scope *s, json_t *object)
{
    json_set_paths(object, "read", &s->read);
    json_set_paths(object, "write", &s->write);
    json_set_paths(object, "deny", &s->deny);
}

int scope_from_json(json_t *object, struct scope *ret)
{
    struct scope s = {0};

    if (json_get_paths(object, "read", &s.read) < 0 ||
        json_get_paths(object, "write", &s.write) < 0 ||
        json_get_paths(object, "deny", &s.deny) < 0) {
        scope_release(&s);
        return -EPROTO;
    }
    *ret = s;
    return 0;
}
