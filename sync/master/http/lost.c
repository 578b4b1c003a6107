/* SPDX-License-Identifier: MIT */
/*
 * What a mirror reports is written down as its word, and has no effect on the tree: its write scope
 * is not looked at here, for only a person's `eefs-master recover`, who sees the list, brings a row back.
 */
#include "sync/master/http/lost.h"

#include <errno.h>
#include <string.h>

#include "sync/common/path.h"
#include "sync/master/commit/committer.h"
#include "sync/master/db/lost_rows.h"
#include "sync/master/db/readers.h"
#include "sync/master/db/tree.h"
#include "sync/master/db/wanted.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/upload.h"
#include "sync/master/folder/visible.h"
#include "sync/master/http/reply.h"
#include "sync/master/publish/delete_guard.h"
#include "sync/proto/json.h"
#include "sync/proto/wire.h"

#define WANT_MAX 16 /* contents at once */
#define SET_MAX  32

struct report {
    struct request *q;
    const char *set;
    json_t *rows, *forgotten;
    int64_t after; /* the rows follow on this number */
};

static int parse_row(json_t *v, struct lost_row *row, struct err *e)
{
    int64_t type = 0, mode = 0;
    int r = json_get_int(v, "n", 1, INT64_MAX, false, 0, &row->n, e);

    if (r == 0)
        r = json_get_path(v, "path", false, &row->e.path, e);
    if (r == 0)
        r = json_get_int(v, "type", ENTRY_GONE, ENTRY_LINK, false, 0, &type, e);
    if (r == 0)
        r = json_get_int(v, "size", 0, INT64_MAX, false, 0, &row->e.size, e);
    if (r == 0)
        r = json_get_int(v, "mtime", INT64_MIN, INT64_MAX, false, 0, &row->e.mtime, e);
    if (r == 0)
        r = json_get_int(v, "mode", 0, 07777, false, 0, &mode, e);
    if (r == 0)
        r = json_get_int(v, "seq", 0, INT64_MAX, false, 0, &row->e.seq, e);
    if (r == 0 && (type == ENTRY_FILE || json_object_get(v, "hash")))
        r = json_get_hash(v, "hash", &row->e.hash, e);
    if (r == 0 && (type == ENTRY_LINK || json_object_get(v, "target")))
        r = json_get_bytes(v, "target", WIRE_TARGET_MAX, &row->e.target, e);
    row->e.type = (enum entry_type)type;
    row->e.mode = (uint32_t)mode;
    row->own = json_is_true(json_object_get(v, "own"));
    row->here = json_is_true(json_object_get(v, "here"));
    return r;
}

/* The tree says that already. */
static int is_there(struct db *db, const struct entry *e)
{
    struct row row = {0};
    int r = tree_get(db, e->path, &row);
    bool same = r < 0 ? false
                      : (r == 1 ? row.e.type : ENTRY_GONE) == e->type &&
                            (e->type != ENTRY_FILE || hash_eq(&row.e.hash, &e->hash)) &&
                            (e->type != ENTRY_LINK || strcmp(row.e.target, e->target) == 0);

    row_release(&row);
    return r < 0 ? r : same;
}

/* One that cannot be understood, or is not served, is of no use: it counts as settled. */
static int add(struct master *m, struct report *p, json_t *v)
{
    struct lost_row row = {.mirror = p->q->who.name};
    struct err e;
    int r, there = 0;

    r = parse_row(v, &row, &e);
    if (r < 0) {
        entry_release(&row.e);
        return row.n > 0 ? 0 : r;
    }
    there = visible_hides(m->folder, row.e.path) ? 1 : is_there(m->tree->db, &row.e);
    r = there < 0 ? there : lost_rows_add(m->tree->db, p->set, &row, there == 1);
    entry_release(&row.e);
    return r;
}

/* Committer's thread. */
static int take(struct master *m, void *arg)
{
    struct report *p = arg;
    json_t *x;
    size_t i;
    int64_t last = 0;
    int r = lost_rows_last(m->tree->db, p->q->who.name, p->set, &last);
    bool none = r == 0 && last != p->after; /* there would be a gap */

    if (r == 0 && !none) {
        r = lost_rows_full(m->tree->db, p->q->who.name);
        none = r == 1;
    }

    json_array_foreach(p->rows, i, x)
    {
        if (r == 0 && !none)
            r = add(m, p, x);
    }
    json_array_foreach(p->forgotten, i, x)
    {
        if (r >= 0 || r == -EPROTO)
            r = lost_rows_forget(m->tree->db, p->q->who.name, p->set, json_integer_value(x));
    }
    return r == -EPROTO || r > 0 ? 0 : r;
}

struct holder {
    struct request *q;
    struct db *db;
};

static bool holds(void *arg, const struct hash *h)
{
    struct holder *x = arg;

    return lost_rows_has(x->db, x->q->who.name, h) == 1;
}

static void note_lacks(struct request *q, json_t *list)
{
    struct hash h;
    json_t *x;
    size_t i;

    json_array_foreach(list, i, x)
    {
        if (json_is_string(x) && hash_parse(json_string_value(x), &h) == 0)
            wanted_lacks(q->m->wanted, q->who.name, &h);
    }
}

static void add_wanted(struct request *q, struct db *db, json_t *want)
{
    struct holder x = {q, db};
    struct hash list[WANT_MAX];
    size_t n = wanted_for(q->m->wanted, q->who.name, holds, &x, list, WANT_MAX);
    char text[HASH_TEXT_CAP];

    for (size_t i = 0; i < n; i++) {
        bool complete = false;
        int64_t have = 0;

        if (upload_have(q->m->folder->uploads, q->who.name, &list[i], &have, &complete) != 0 ||
            !complete)
            json_array_append_new(want, json_string(hash_text(&list[i], text)));
    }
}

static enum MHD_Result answer(struct request *q, const char *set)
{
    struct db *db = readers_get(q->m->readers);
    json_t *done = json_array(), *want = json_array();
    int64_t have = 0, open = 0;
    char why[512];
    int r = db ? lost_rows_last(db, q->who.name, set, &have) : -EIO;

    if (r >= 0)
        r = lost_rows_settled(db, q->who.name, set, WIRE_LOST_MAX, done);
    if (r >= 0)
        r = lost_rows_count(db, q->who.name, &open);
    if (r >= 0)
        add_wanted(q, db, want);
    readers_put(q->m->readers, db);
    if (r < 0) {
        json_decref(done);
        json_decref(want);
        return reply_error(q, 503, WIRE_E_UNAVAILABLE, "the master's database cannot be read");
    }
    return reply_json(
        q, 200,
        json_pack("{s:I,s:o,s:o,s:b}", "have", (json_int_t)have, "done", done, "want", want, "rest",
                  open == 0 && delete_guard_held(q->m->delete_guard, why, sizeof(why)) == 0));
}

enum MHD_Result lost_run(struct request *q)
{
    json_t *o = json_loadb(q->body.data ? q->body.data : "", q->body.len, 0, NULL);
    struct report p = {q, json_string_value(json_object_get(o, "set")), json_object_get(o, "rows"),
                       json_object_get(o, "forgotten"),
                       json_integer_value(json_object_get(o, "after"))};
    enum MHD_Result res;
    int r = 0;

    if (!p.set || !*p.set || strlen(p.set) > SET_MAX || json_array_size(p.rows) > WIRE_LOST_MAX) {
        json_decref(o);
        return reply_error(q, 400, WIRE_E_BAD_REQUEST, "that is no report of what was lost");
    }
    note_lacks(q, json_object_get(o, "lacks"));
    if (json_array_size(p.rows) > 0 || json_array_size(p.forgotten) > 0)
        r = committer_call(q->m->committer, take, &p);
    res = r < 0 ? reply_error(q, 503, WIRE_E_UNAVAILABLE, "the database cannot be written")
                : answer(q, p.set);
    json_decref(o);
    return res;
}
