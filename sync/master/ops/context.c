/* SPDX-License-Identifier: MIT */
#include "sync/master/ops/context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/install.h"
#include "sync/master/folder/visible.h"
#include "sync/master/publish/publish.h"
#include "sync/proto/wire.h"

int apply_db(struct apply *j, int r)
{
    if (r < 0)
        j->db_error = r;
    return r < 0 ? r : 0;
}

int apply_answer(struct apply *j, enum op_result result, const char *code, const char *error)
{
    j->a->result = result;
    if (code)
        j->a->code = xstrdup(code);
    if (error)
        j->a->error = xstrdup(error);
    return 0;
}

int apply_refuse(struct apply *j, const char *code, const char *error)
{
    return apply_answer(j, RESULT_REFUSED, code, error);
}

int apply_tell(struct apply *j, const char *path)
{
    struct row row = {0};
    int r = tree_get(j->m->tree->db, path, &row);

    if (r == 0) {
        row.e.path = xstrdup(path);
        row.e.type = ENTRY_GONE;
        row.e.seq = j->m->tree->seq;
    }
    if (r >= 0)
        op_answer_add(j->a, &row.e);
    row_release(&row);
    return apply_db(j, r);
}

bool apply_in_the_way(int r)
{
    return r == -EEXIST || r == -ENOTDIR || r == -ELOOP || r == -EISDIR || r == -ENOTEMPTY;
}

bool apply_copy_allowed(struct apply *j, const char *copy, int *r)
{
    const char *path = j->op->kind == OP_RENAME ? j->op->to : j->op->path;

    *r = strlen(copy) > EEFS_PATH_MAX ? -ENAMETOOLONG : 0; /* no mirror could hold it */
    if (*r < 0)
        return false;
    if (scope_writes(&j->who->scope, copy) && !visible_hides(j->m->folder, copy))
        return true;
    *r = apply_tell(j, path);
    if (*r == 0)
        apply_refuse(j, WIRE_R_CONFLICT,
                     "the master has a different entry at this path, and a conflict copy beside it "
                     "would be outside this mirror's write scope; rename one of the two");
    return false;
}

int apply_conflict(struct apply *j, char *copy, int r)
{
    for (char *at = strchr(copy, '/'); r == 0 && at; at = strchr(at + 1, '/')) {
        *at = '\0';
        r = apply_tell(j, copy);
        *at = '/';
    }
    if (r == 0)
        r = apply_tell(j, copy);
    if (r == 0)
        r = apply_tell(j, j->op->kind == OP_RENAME ? j->op->to : j->op->path);
    if (r < 0) {
        free(copy);
        return r;
    }
    j->a->copy = copy;
    return apply_answer(j, RESULT_CONFLICT, NULL, NULL);
}

int apply_publish(struct apply *j, const char *path, const struct stat *st, const struct hash *hash,
                  const char *target, int64_t seen, const char *moved_from)
{
    return apply_db(j, publish(j->m, path, st, hash, target, seen, moved_from));
}

int apply_attrs(struct apply *j, const char *path, struct row *row, int64_t mode)
{
    const int64_t *mtime = op_mtime(j->op);
    struct stat st;
    int r;

    if ((mode >= 0 && (uint32_t)mode != row->e.mode) || (mtime && *mtime != row->e.mtime)) {
        r = install_attrs(j->m->folder, path, mode, mtime);
        if (r == 0)
            r = visible_lstat(j->m->folder, path, &st);
        if (r < 0)
            return r;
        r = apply_publish(j, path, &st, &row->e.hash, row->e.target, row->seen, NULL);
        if (r < 0)
            return r;
    }
    return apply_tell(j, path);
}
