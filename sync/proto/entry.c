/* SPDX-License-Identifier: MIT */
#include "sync/proto/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/path.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

static const char *const type_names[] = {
    [ENTRY_GONE] = "gone", [ENTRY_FILE] = "file", [ENTRY_DIR] = "dir", [ENTRY_LINK] = "link"};

void entry_release(struct entry *e)
{
    free(e->path);
    free(e->target);
    free(e->moved_from);
    buf_release(&e->data);
    memset(e, 0, sizeof(*e));
}

void entry_copy(struct entry *to, const struct entry *from)
{
    *to = *from;
    to->path = xstrdup(from->path);
    to->target = from->target ? xstrdup(from->target) : NULL;
    to->moved_from = from->moved_from ? xstrdup(from->moved_from) : NULL;
    memset(&to->data, 0, sizeof(to->data));
    to->has_data = false;
}

json_t *entry_to_json(const struct entry *e)
{
    json_t *o = json_object();

    json_set_path(o, "path", e->path);
    json_object_set_new(o, "seq", json_integer(e->seq));
    json_object_set_new(o, "type", json_string(type_names[e->type]));
    if (e->type != ENTRY_GONE) {
        json_object_set_new(o, "mtime", json_integer(e->mtime));
        json_object_set_new(o, "mode", json_integer(e->mode));
    }
    if (e->type == ENTRY_FILE) {
        json_object_set_new(o, "size", json_integer(e->size));
        json_set_hash(o, "hash", &e->hash);
    }
    if (e->type == ENTRY_DIR && e->hides)
        json_object_set_new(o, "hides", json_true());
    if (e->type == ENTRY_LINK)
        json_set_path(o, "target", e->target);
    if (e->moved_from)
        json_set_path(o, "moved_from", e->moved_from);
    if (e->has_data)
        json_set_data(o, "data", &e->data);
    return o;
}

static int parse_type(json_t *v, enum entry_type *ret, struct err *e)
{
    const char *text = NULL;
    int r = json_get_text(v, "type", &text, e);

    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (strcmp(type_names[i], text) == 0) {
            *ret = (enum entry_type)i;
            return 0;
        }
    }
    return err_set(e, EPROTO, "unknown entry type '%.40s'", text);
}

static int parse_file(json_t *v, struct entry *n, struct err *e)
{
    int r = json_get_int(v, "size", 0, INT64_MAX, false, 0, &n->size, e);

    if (r == 0)
        r = json_get_hash(v, "hash", &n->hash, e);
    if (r == 0 && json_object_get(v, "data")) /* it only saves a transfer */
        n->has_data = json_get_data(v, "data", WIRE_INLINE_MAX, &n->data, NULL) == 0;
    return r;
}

int entry_from_json(json_t *v, struct entry *ret, struct err *e)
{
    struct entry n = {0};
    int64_t mode = 0;
    int r;

    if (!json_is_object(v))
        return err_set(e, EPROTO, "an entry is not a JSON object");
    r = json_get_path(v, "path", false, &n.path, e);
    if (r == 0)
        r = json_get_int(v, "seq", 0, INT64_MAX, false, 0, &n.seq, e);
    if (r == 0)
        r = parse_type(v, &n.type, e);
    if (r == 0 && n.type != ENTRY_GONE)
        r = json_get_int(v, "mtime", INT64_MIN, INT64_MAX, false, 0, &n.mtime, e);
    if (r == 0 && n.type != ENTRY_GONE)
        r = json_get_int(v, "mode", 0, 07777, false, 0, &mode, e);
    if (r == 0 && n.type == ENTRY_FILE)
        r = parse_file(v, &n, e);
    if (r == 0 && n.type == ENTRY_LINK)
        r = json_get_bytes(v, "target", WIRE_TARGET_MAX, &n.target, e);
    if (r == 0 && json_object_get(v, "moved_from")) /* a hint */
        json_get_path(v, "moved_from", false, &n.moved_from, NULL);
    if (r < 0) {
        entry_release(&n);
        return r;
    }
    n.mode = (uint32_t)mode;
    n.hides = n.type == ENTRY_DIR && json_is_true(json_object_get(v, "hides"));
    *ret = n;
    return 0;
}

static void dump_line(struct buf *out, json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);

    if (text)
        buf_puts(out, text);
    buf_putc(out, '\n');
    free(text);
    json_decref(o);
}

void entry_encode_line(struct buf *out, const struct entry *e)
{
    dump_line(out, entry_to_json(e));
}

void page_encode_end(struct buf *out, enum page_line kind, const char *cursor)
{
    dump_line(out, json_pack("{s:s}", kind == PAGE_MORE ? "more" : "commit", cursor));
}

char *page_line_path(const char *line, size_t len)
{
    static const char key[] = "\"path\":\"";
    json_t *v = json_loadb(line, len, 0, NULL);
    const char *at = json_string_value(json_object_get(v, "path")), *end;
    char *path = at ? xstrdup(at) : NULL;

    json_decref(v);
    if (path || v || !(at = memmem(line, len, key, sizeof(key) - 1)))
        return path;
    at += sizeof(key) - 1;
    end = memchr(at, '"', len - (size_t)(at - line));
    return end ? xstrndup(at, (size_t)(end - at)) : NULL;
}

int page_parse_line(const char *line, size_t len, struct entry *ret, char **cursor, struct err *e)
{
    json_error_t why;
    json_t *v = json_loadb(line, len, 0, &why);
    const char *more, *commit;
    int r;

    if (!json_is_object(v)) {
        json_decref(v);
        return err_set(e, EBADMSG, "a line of the feed is not a JSON object: %s", why.text);
    }
    more = json_string_value(json_object_get(v, "more"));
    commit = json_string_value(json_object_get(v, "commit"));
    if (more || commit) {
        *cursor = xstrdup(more ? more : commit);
        r = more ? PAGE_MORE : PAGE_COMMIT;
    } else {
        r = entry_from_json(v, ret, e); /* 0 is PAGE_ENTRY */
    }
    json_decref(v);
    return r;
}
