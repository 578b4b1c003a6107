/* SPDX-License-Identifier: MIT */
/*
 * unsent_restore: restores the changes that the record of unsent changes has and the database
 * lacks. The operations come in their order, each laid over the view as it is by then; an operation
 * of which the content is gone, or that cannot be read, is lost.
 */
#include "sync/mirror/replica/unsent_log.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"
#include "sync/proto/json.h"

/* The folders above `path` are in the view, made by operation n where they are not. */
static int need_parents(struct replica *r, const char *path, int64_t n)
{
    char *parent = path_parent(path);
    struct row row = {0};
    int rc = *parent ? view_get(r->db, parent, &row) : 0;

    if (rc == 0 && *parent && !row.exists) {
        struct row made = {.exists = true, .type = ENTRY_DIR, .mode = 0755};

        rc = need_parents(r, parent, n);
        row_stamp(&made);
        made.mtime = made.ctime;
        made.ino = (uint64_t)r->now.next_ino++;
        if (rc == 0)
            rc = overlay_put(r->db, parent, n, &made);
    }
    row_release(&row);
    free(parent);
    return rc;
}

/* Lays a new entry over the view, unless there is a folder now. */
static int lay(struct replica *r, const char *path, int64_t n, struct row *row)
{
    struct row was;
    int rc = view_get(r->db, path, &was);
    bool folder = rc == 0 && was.exists && was.type == ENTRY_DIR;

    row->exists = true;
    if (row->ctime == 0)
        row_stamp(row);
    row->ino = was.exists ? was.ino : (uint64_t)r->now.next_ino++;
    if (rc == 0 && !(folder && row->type != ENTRY_DIR)) {
        rc = need_parents(r, path, n);
        if (rc == 0 && !(folder && row->type == ENTRY_DIR))
            rc = overlay_put(r->db, path, n, row);
    }
    row_release(&was);
    return rc;
}

struct names {
    struct strlist list;
    const char *dir;
};

static int add_name(void *arg, const char *name, const struct row *row)
{
    struct names *n = arg;
    char *path = path_join(n->dir, name);

    (void)row;
    strlist_add(&n->list, path);
    free(path);
    return 0;
}

/* What is at and below `from` is shown at `to`. */
static int lay_moved(struct replica *r, const char *from, const char *to, int64_t n)
{
    struct names below = {{NULL, 0}, from};
    struct row row;
    int rc = view_get(r->db, from, &row);

    if (rc == 0 && row.exists) {
        if (row.type == ENTRY_DIR)
            rc = view_each(r->db, from, 0, false, add_name, &below);
        if (rc == 0)
            rc = need_parents(r, to, n);
        if (rc == 0)
            rc = overlay_put(r->db, to, n, &row);
        for (size_t i = 0; rc == 0 && i < below.list.n; i++) {
            char *there = path_join(to, path_base(below.list.v[i]));
            rc = lay_moved(r, below.list.v[i], there, n);
            free(there);
        }
        if (rc == 0)
            rc = overlay_put_gone(r->db, from, n);
    }
    strlist_release(&below.list);
    row_release(&row);
    return rc;
}

static int lay_attributes(struct replica *r, const struct op *op)
{
    struct row row;
    int rc = view_get(r->db, op->path, &row);

    if (rc == 0 && row.exists) {
        if (op->mode != -1)
            row.mode = op->mode;
        if (op->has_mtime)
            row.mtime = op->mtime;
        rc = overlay_put(r->db, op->path, op->n, &row);
    }
    row_release(&row);
    return rc;
}

static int lay_gone(struct replica *r, const struct op *op)
{
    struct row row;
    int rc = view_get(r->db, op->path, &row);

    if (rc == 0 && row.exists)
        rc = overlay_put_gone(r->db, op->path, op->n);
    row_release(&row);
    return rc;
}

static int lay_op(struct replica *r, const struct op *op)
{
    struct row row = {.size = op->size, .mtime = op->mtime, .mode = op->mode, .hash = op->hash};

    switch (op->kind) {
    case OP_PUT:
        row.type = ENTRY_FILE;
        return lay(r, op->path, op->n, &row);
    case OP_MKDIR:
        row.type = ENTRY_DIR;
        return lay(r, op->path, op->n, &row);
    case OP_SYMLINK:
        row.type = ENTRY_LINK;
        row.target = op->target;
        row.mode = 0777;
        row.size = (int64_t)strlen(op->target);
        return lay(r, op->path, op->n, &row);
    case OP_RENAME:
        return lay_moved(r, op->path, op->to, op->n);
    case OP_SETATTR:
        return lay_attributes(r, op);
    case OP_UNLINK:
    case OP_RMDIR:
        return lay_gone(r, op);
    }
    return 0;
}

struct back {
    struct replica *r;
    bool (*has)(void *arg, const struct hash *h, int64_t size);
    void *arg;
    struct strlist *lost;
    int n;
};

static int back_op(struct back *b, json_t *line)
{
    struct replica *r = b->r;
    const char *state = json_string_value(json_object_get(line, "state"));
    struct op op = {0};
    int64_t there = 0;
    int rc = op_from_json(json_object_get(line, "op"), &op, NULL);

    if (rc < 0 || !state || !strchr("qsx", *state)) {
        strlist_add(b->lost, op.path ? op.path : "?");
        op_release(&op);
        return 0;
    }
    rc = db_get_int(r->db, 0, &there, "SELECT 1 FROM outbox WHERE opid=?", "i", op.n);
    if (rc == 0 && !there && op.kind == OP_PUT && !b->has(b->arg, &op.hash, op.size)) {
        strlist_add(b->lost, op.path);
    } else if (rc == 0 && !there) {
        rc = outbox_insert(r->db, &op, *state);
        if (rc == 0)
            rc = db_run(r->db,
                        "UPDATE outbox SET code=nullif(?2,''),error=nullif(?3,''),created=?4"
                        " WHERE opid=?1",
                        "issi", op.n, json_string_value(json_object_get(line, "code")),
                        json_string_value(json_object_get(line, "error")),
                        (int64_t)json_integer_value(json_object_get(line, "created")));
        if (rc >= 0)
            rc = lay_op(r, &op);
        b->n++;
    }
    op_release(&op);
    return rc < 0 ? rc : 0;
}

static int back_local(struct back *b, json_t *line)
{
    struct replica *r = b->r;
    struct row row = {.type = (int)json_integer_value(json_object_get(line, "type")),
                      .size = json_integer_value(json_object_get(line, "size")),
                      .mtime = json_integer_value(json_object_get(line, "mtime")),
                      .mode = json_integer_value(json_object_get(line, "mode"))};
    struct row was = {0};
    char *path = NULL;
    int rc = 0;

    if (json_get_path(line, "local", false, &path, NULL) < 0)
        return 0;
    row.atime = json_integer_value(json_object_get(line, "atime"));
    row.ctime = json_integer_value(json_object_get(line, "ctime"));
    if (json_object_get(line, "hash"))
        (void)json_get_hash(line, "hash", &row.hash, NULL);
    if (json_object_get(line, "target"))
        (void)path_decode(json_string_value(json_object_get(line, "target")), &row.target);
    rc = overlay_get(r->db, path, REPLICA_LOCAL, &was);
    if (rc == 0 && !was.exists && row.type != ENTRY_GONE) {
        if (row.type == ENTRY_FILE && !b->has(b->arg, &row.hash, row.size)) {
            strlist_add(b->lost, path);
        } else {
            rc = lay(r, path, REPLICA_LOCAL, &row);
            b->n++;
        }
    }
    row_release(&was);
    free(row.target);
    free(path);
    return rc;
}

static int back_one(void *arg, json_t *line, bool local)
{
    return local ? back_local(arg, line) : back_op(arg, line);
}

int unsent_put_back(struct replica *r, bool (*has)(void *arg, const struct hash *h, int64_t size),
                    void *arg, struct strlist *lost)
{
    struct back b = {r, has, arg, lost, 0};
    int rc = tx_begin(r), rc2;

    if (rc < 0)
        return rc;
    rc = unsent_each(r->unsent, back_one, &b);
    if (rc == 0)
        rc = db_run(r->db, "DELETE FROM meta WHERE key='put_back'", "");
    if (rc >= 0)
        rc = replica_recount(r);
    rc = tx_end(r, rc < 0 ? rc : 0, "replica.put_back");
    if (rc < 0)
        return rc;
    mutex_lock(&r->lock);
    rc2 = unsent_anew(r->unsent);
    mutex_unlock(&r->lock);
    return rc2 < 0 ? rc2 : b.n;
}
