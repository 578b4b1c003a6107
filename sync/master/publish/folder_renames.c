/* SPDX-License-Identifier: MIT */
#include "sync/master/publish/folder_renames.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/db/renames.h"
#include "sync/master/master.h"
#include "sync/master/folder/visible.h"

void folder_renames_release(struct moved *was)
{
    free(was->path);
    free(was->to);
    memset(was, 0, sizeof(*was));
}

static void put_back(char **now, char **was)
{
    if (!*was)
        return;
    free(*now);
    *now = *was;
    *was = NULL;
}

void folder_renames_undo(struct op *op, struct moved *was)
{
    put_back(&op->path, &was->path);
    put_back(&op->to, &was->to);
}

static bool may_work_at(const struct master *m, const struct mirror *who, const char *path)
{
    return path_check(path) == 0 && !visible_hides(m->folder, path) &&
           scope_reads(&who->scope, path) && scope_writes(&who->scope, path);
}

/* Exchanges *path for its present one. */
static int follow(const struct master *m, const struct mirror *who, const char *outbox,
                  int64_t known, char **path, char **was)
{
    char *at = NULL;
    int r = renames_lead(m->tree->db, *path, known, outbox, &at);

    if (r < 1)
        return r;
    if (may_work_at(m, who, at)) {
        *was = *path;
        *path = at;
    } else {
        free(at);
    }
    return 0;
}

/* The operation may be about a folder itself. */
static bool is_about_folder(const struct op *op)
{
    return op->kind == OP_RMDIR || op->kind == OP_SETATTR ||
           (op->kind == OP_RENAME && op->pre.kind == PRE_DIR);
}

/* A folder that is to be renamed, changed or removed, and has another name by now itself. */
static int follow_itself(const struct master *m, const struct mirror *who, const char *outbox,
                         struct op *op, struct moved *was)
{
    char *inside = path_join(op->path, "."), *at = NULL;
    int r = renames_lead(m->tree->db, inside, op->known, outbox, &at);

    free(inside);
    if (r < 1)
        return r;
    at[path_parent_len(at)] = '\0';
    if (may_work_at(m, who, at) && !(op->to && path_is_under(op->to, at))) {
        was->path = op->path;
        op->path = at;
    } else { /* it has that name already, or is above it */
        free(at);
    }
    return 0;
}

int folder_renames_follow(const struct master *m, const struct mirror *who, const char *outbox,
                          struct op *op, struct moved *was)
{
    int r = 0;

    if (op->known > 0 && is_about_folder(op))
        r = follow_itself(m, who, outbox, op, was);
    if (r == 0 && op->known > 0 && !was->path)
        r = follow(m, who, outbox, op->known, &op->path, &was->path);
    if (r == 0 && op->known > 0 && op->to)
        r = follow(m, who, outbox, op->known, &op->to, &was->to);
    return r;
}

/* `was` is gone, or what else has that name by now; what is at `now` was there. */
static int tell_one(const struct master *m, const char *was, const char *now, struct op_answer *a)
{
    struct row row = {0};
    int r;

    if (!was)
        return 0;
    for (size_t i = 0; i < a->n_entries; i++) {
        struct entry *e = &a->entries[i];

        if (e->type != ENTRY_GONE && !e->moved_from && strcmp(e->path, now) == 0)
            e->moved_from = xstrdup(was);
    }
    r = tree_get(m->tree->db, was, &row);
    if (r == 0) {
        row.e.path = xstrdup(was);
        row.e.type = ENTRY_GONE;
        row.e.seq = m->tree->seq;
    }
    if (r >= 0)
        op_answer_add(a, &row.e);
    row_release(&row);
    return r < 0 ? r : 0;
}

int folder_renames_tell(const struct master *m, const struct moved *was, const struct op *op,
                        struct op_answer *a)
{
    int r;

    if (a->result == RESULT_LATER)
        return 0;
    r = tell_one(m, was->path, op->path, a);
    return r < 0 ? r : tell_one(m, was->to, op->to, a);
}
