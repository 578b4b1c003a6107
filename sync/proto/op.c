/* SPDX-License-Identifier: MIT */
#include "sync/proto/op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/path.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const kind_names[] = {
    [OP_PUT] = "put",         [OP_MKDIR] = "mkdir",   [OP_RMDIR] = "rmdir",
    [OP_UNLINK] = "unlink",   [OP_RENAME] = "rename", [OP_SYMLINK] = "symlink",
    [OP_SETATTR] = "setattr",
};

static const char *const result_names[] = {
    [RESULT_DONE] = "done",       [RESULT_CONFLICT] = "conflict", [RESULT_KEPT] = "kept",
    [RESULT_REFUSED] = "refused", [RESULT_LATER] = "later",
};

const char *op_kind_name(enum op_kind k)
{
    return kind_names[k];
}

static int find_name(const char *const *names, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], text) == 0)
            return (int)i;
    return -EINVAL;
}

const char *pre_text(const struct pre *p, char *out)
{
    switch (p->kind) {
    case PRE_NONE:
        return strcpy(out, "");
    case PRE_ABSENT:
        return strcpy(out, "absent");
    case PRE_DIR:
        return strcpy(out, "dir");
    case PRE_LINK:
        return strcpy(out, "link");
    case PRE_HASH:
        return hash_text(&p->hash, out);
    }
    abort();
}

int pre_parse(const char *text, struct pre *ret)
{
    struct pre p = {0};

    if (!*text)
        p.kind = PRE_NONE;
    else if (strcmp(text, "absent") == 0)
        p.kind = PRE_ABSENT;
    else if (strcmp(text, "dir") == 0)
        p.kind = PRE_DIR;
    else if (strcmp(text, "link") == 0)
        p.kind = PRE_LINK;
    else if (hash_parse(text, &p.hash) == 0)
        p.kind = PRE_HASH;
    else
        return -EINVAL;
    *ret = p;
    return 0;
}

void op_release(struct op *op)
{
    free(op->path);
    free(op->to);
    free(op->target);
    buf_release(&op->data);
    memset(op, 0, sizeof(*op));
}

static void set_pre(json_t *o, const char *name, const struct pre *p)
{
    char text[HASH_TEXT_CAP];

    if (p->kind != PRE_NONE)
        json_object_set_new(o, name, json_string(pre_text(p, text)));
}

json_t *op_to_json(const struct op *op)
{
    json_t *o = json_object();

    json_object_set_new(o, "n", json_integer(op->n));
    json_object_set_new(o, "op", json_string(kind_names[op->kind]));
    json_set_path(o, "path", op->path);
    if (op->kind == OP_PUT) {
        json_set_hash(o, "hash", &op->hash);
        json_object_set_new(o, "size", json_integer(op->size));
    }
    if (op->kind == OP_RENAME)
        json_set_path(o, "to", op->to);
    if (op->kind == OP_SYMLINK)
        json_set_path(o, "target", op->target);
    if (op->has_mtime)
        json_object_set_new(o, "mtime", json_integer(op->mtime));
    if (op->mode != -1)
        json_object_set_new(o, "mode", json_integer(op->mode));
    if (op->umask != 0)
        json_object_set_new(o, "umask", json_integer(op->umask));
    if (op->known != 0)
        json_object_set_new(o, "known", json_integer(op->known));
    set_pre(o, "pre", &op->pre);
    set_pre(o, "to_pre", &op->to_pre);
    if (op->has_data)
        json_set_data(o, "data", &op->data);
    return o;
}

static int get_pre(json_t *v, const char *name, struct pre *ret, struct err *e)
{
    json_t *p = json_object_get(v, name);

    if (!p)
        return 0;
    if (!json_is_string(p) || pre_parse(json_string_value(p), ret) < 0)
        return err_set(e, EPROTO, "'%s' is not a precondition", name);
    return 0;
}

static int get_kind_members(json_t *v, struct op *op, struct err *e)
{
    int r = 0;

    switch (op->kind) {
    case OP_PUT:
        r = json_get_hash(v, "hash", &op->hash, e);
        if (r == 0)
            r = json_get_int(v, "size", 0, INT64_MAX, false, 0, &op->size, e);
        if (r == 0 && (!op->has_mtime || op->mode == -1))
            r = err_set(e, EPROTO, "'put' needs 'mtime' and 'mode'");
        if (r == 0 && json_object_get(v, "data")) {
            r = json_get_data(v, "data", WIRE_INLINE_MAX, &op->data, e);
            op->has_data = r == 0;
        }
        return r;
    case OP_RENAME:
        return json_get_path(v, "to", false, &op->to, e);
    case OP_SYMLINK:
        return json_get_bytes(v, "target", WIRE_TARGET_MAX, &op->target, e);
    case OP_MKDIR:
    case OP_RMDIR:
    case OP_UNLINK:
    case OP_SETATTR:
        return 0;
    }
    return r;
}

int op_from_json(json_t *v, struct op *ret, struct err *e)
{
    struct op op = {0};
    const char *name;
    int r;

    if (!json_is_object(v))
        return err_set(e, EPROTO, "an operation is not a JSON object");
    r = json_get_int(v, "n", 1, INT64_MAX, false, 0, &op.n, e);
    if (r == 0)
        r = json_get_text(v, "op", &name, e);
    if (r == 0) {
        int kind = find_name(kind_names, COUNT(kind_names), name);
        if (kind < 0)
            r = err_set(e, EPROTO, "unknown operation '%.40s'", name);
        else
            op.kind = (enum op_kind)kind;
    }
    if (r == 0)
        r = json_get_path(v, "path", false, &op.path, e);
    if (r == 0)
        r = json_get_int(v, "mtime", INT64_MIN, INT64_MAX, true, 0, &op.mtime, e);
    op.has_mtime = json_object_get(v, "mtime") != NULL;
    if (r == 0)
        r = json_get_int(v, "mode", 0, 07777, true, -1, &op.mode, e);
    if (r == 0)
        r = json_get_int(v, "umask", 0, 0777, true, 0, &op.umask, e);
    if (r == 0)
        r = json_get_int(v, "known", 0, INT64_MAX, true, 0, &op.known, e);
    if (r == 0)
        r = get_pre(v, "pre", &op.pre, e);
    if (r == 0)
        r = get_pre(v, "to_pre", &op.to_pre, e);
    if (r == 0)
        r = get_kind_members(v, &op, e);
    if (r < 0) {
        op_release(&op);
        return r;
    }
    *ret = op;
    return 0;
}

void op_digest(const struct op *op, struct hash *ret)
{
    json_t *o = op_to_json(op);
    char *text;

    json_object_del(o, "data");
    json_object_del(o, "known");
    text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_SORT_KEYS);
    hash_bytes(text, strlen(text), ret);
    free(text);
    json_decref(o);
}

void op_answer_release(struct op_answer *a)
{
    for (size_t i = 0; i < a->n_entries; i++)
        entry_release(&a->entries[i]);
    free(a->entries);
    free(a->code);
    free(a->error);
    free(a->copy);
    free(a->place);
    memset(a, 0, sizeof(*a));
}

void op_answer_add(struct op_answer *a, const struct entry *e)
{
    a->entries = xrealloc(a->entries, (a->n_entries + 1) * sizeof(*a->entries));
    entry_copy(&a->entries[a->n_entries++], e);
}

json_t *op_answer_to_json(const struct op_answer *a)
{
    json_t *o = json_pack("{s:I,s:s}", "n", (json_int_t)a->n, "result", result_names[a->result]);
    json_t *entries;

    if (a->code)
        json_object_set_new(o, "code", json_string(a->code));
    if (a->error)
        json_object_set_new(o, "error", json_string(a->error));
    if (a->copy)
        json_set_path(o, "path", a->copy);
    if (a->place)
        json_set_path(o, "place", a->place);
    if (a->n_entries == 0)
        return o;
    entries = json_array();
    for (size_t i = 0; i < a->n_entries; i++)
        json_array_append_new(entries, entry_to_json(&a->entries[i]));
    json_object_set_new(o, "entries", entries);
    return o;
}

static int get_entries(json_t *v, struct op_answer *a, struct err *e)
{
    json_t *entries = json_object_get(v, "entries");
    json_t *item;
    size_t i;

    if (!entries)
        return 0;
    if (!json_is_array(entries))
        return err_set(e, EPROTO, "'entries' is not an array");
    a->entries = xcalloc(json_array_size(entries), sizeof(*a->entries));
    json_array_foreach(entries, i, item)
    {
        /* One that is not to be taken: the feed brings it, too, and says so. */
        if (entry_from_json(item, &a->entries[a->n_entries], NULL) == 0)
            a->n_entries++;
    }
    return 0;
}

int op_answer_from_json(json_t *v, struct op_answer *ret, struct err *e)
{
    struct op_answer a = {0};
    const char *text = NULL;
    int r;

    if (!json_is_object(v))
        return err_set(e, EPROTO, "an answer is not a JSON object");
    r = json_get_int(v, "n", 1, INT64_MAX, false, 0, &a.n, e);
    if (r == 0)
        r = json_get_text(v, "result", &text, e);
    if (r == 0) {
        int result = find_name(result_names, COUNT(result_names), text);
        if (result < 0)
            r = err_set(e, EPROTO, "unknown result '%.40s'", text);
        else
            a.result = (enum op_result)result;
    }
    if (r == 0 && json_object_get(v, "path"))
        r = json_get_path(v, "path", false, &a.copy, e);
    if (r == 0 && json_object_get(v, "place"))
        r = json_get_bytes(v, "place", WIRE_PLACE_MAX, &a.place, e);
    if (r == 0 && json_object_get(v, "code")) {
        r = json_get_text(v, "code", &text, e);
        a.code = r == 0 ? xstrdup(text) : NULL;
    }
    if (r == 0 && json_object_get(v, "error")) {
        r = json_get_text(v, "error", &text, e);
        a.error = r == 0 ? xstrdup(text) : NULL;
    }
    if (r == 0)
        r = get_entries(v, &a, e);
    if (r < 0) {
        op_answer_release(&a);
        return r;
    }
    *ret = a;
    return 0;
}
