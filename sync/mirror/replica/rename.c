/* SPDX-License-Identifier: MIT */
/* rename: checks whether a rename is allowed, and makes its other changes: inode numbers, times. */
#include "sync/mirror/replica/rename_op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"

static int check_replaced(struct replica *r, const struct row *v, const char *to,
                          const struct row *w, bool noreplace)
{
    if (!w->exists)
        return 0;
    if (noreplace)
        return -EEXIST;
    if (v->type == ENTRY_DIR && w->type != ENTRY_DIR)
        return -ENOTDIR;
    if (v->type != ENTRY_DIR && w->type == ENTRY_DIR)
        return -EISDIR;
    return w->type == ENTRY_DIR ? check_empty(r, to, w) : 0;
}

static int check_scope(struct replica *r, const char *from, const char *to)
{
    bool root;

    if (!replica_writable(r, from) || !replica_writable(r, to))
        return -EROFS;
    mutex_lock(&r->scope_lock);
    root = scope_is_write_root(&r->scope, from) || scope_is_write_root(&r->scope, to);
    mutex_unlock(&r->scope_lock);
    if (root)
        return -EROFS;
    return 0;
}

/* A folder would move names that the master's patterns exclude at its old path and not at the new
 * one, or the other way round: the program gets EXDEV and copies the visible files instead. */
static int check_hidden(struct replica *r, const char *from, const char *to)
{
    bool reaches = false;

    mutex_lock(&r->scope_lock);
    for (size_t i = 0; i < r->exclude.n && !reaches; i++)
        reaches =
            path_matches_below(r->exclude.v[i], from) || path_matches_below(r->exclude.v[i], to);
    mutex_unlock(&r->scope_lock);
    return reaches ? -EXDEV : 0;
}

/* A folder stays on its filesystem of the master: programs that get EXDEV copy. Where one is
 * mounted, and above, nothing is renamed. */
static int check_volumes(struct replica *r, const char *from, const char *to)
{
    if (replica_holds_volume(r, from) || replica_is_volume(r, to))
        return -EBUSY;
    return replica_same_volume(r, from, to) ? 0 : -EXDEV;
}

static int check(struct replica *r, const char *from, const char *to)
{
    int rc = path_check(to);

    if (rc < 0)
        return rc;
    if (!*from || !*to)
        return -EBUSY;
    if (strcmp(from, to) != 0 && path_is_under(to, from))
        return -EINVAL;
    rc = view_check_parent(r->db, to);
    return rc < 0 ? rc : check_scope(r, from, to);
}

/* What was `was` and is at `to` by now has changed, too. */
static int stamp(struct replica *r, const char *to, const struct row *was)
{
    struct row now;
    int rc = view_get(r->db, to, &now);

    now.ctime = was->ctime;
    row_stamp(&now);
    if (rc == 0 && now.exists)
        rc = view_set_times(r->db, to, &now);
    row_release(&now);
    return rc;
}

/* All that is moved stays local, or stays served. */
static int rename_within(struct replica *r, const char *from, const struct row *v, const char *to,
                         const struct row *w, const struct hash *seen, int64_t *opid)
{
    struct pre to_pre;
    int rc = rename_clear(r, to, w, seen, &to_pre);

    if (rc < 0)
        return rc;
    if (replica_is_local(r, from))
        return move_tree(r, from, v, to, REPLICA_LOCAL);
    if (row_is_open(v))
        return rename_open(r, from, v, to, &to_pre);
    return rename_op(r, from, v, to, &to_pre, opid);
}

static int rename_locked(struct replica *r, const char *from, const char *to, bool noreplace,
                         const struct hash *seen, int64_t *opid)
{
    struct row v, w = {0};
    int rc = view_need(r, r->db, from, &v);

    if (rc == 0)
        rc = check(r, from, to);
    if (rc == 0)
        rc = view_get(r->db, to, &w);
    if (rc == 0 && strcmp(from, to) == 0) {
        rc = noreplace ? -EEXIST : 0;
        goto out;
    }
    if (rc == 0 && v.type == ENTRY_DIR && !replica_is_local(r, from) && !replica_is_local(r, to))
        rc = check_volumes(r, from, to);
    if (rc == 0)
        rc = check_replaced(r, &v, to, &w, noreplace);
    if (rc == 0 && v.type == ENTRY_DIR && !replica_is_local(r, from))
        rc = check_hidden(r, from, to);
    if (rc == 0)
        rc = rename_excluded(r, from, &v, to, &w, seen, opid);
    if (rc == 0)
        rc = rename_within(r, from, &v, to, &w, seen, opid);
    if (rc < 0)
        goto out;
    rc = stamp(r, to, &v);
    if (rc == 0)
        rc = touch_parent(r, from);
    if (rc == 0)
        rc = touch_parent(r, to);
    if (w.exists) {
        r->now.entries--;
        r->now.bytes -= row_bytes(&w);
    }
out:
    row_release(&v);
    row_release(&w);
    return rc;
}

int replica_rename(struct replica *r, const char *from, const char *to, bool noreplace,
                   const struct hash *seen, int64_t *opid)
{
    int64_t n = 0;
    int rc = tx_begin_spare(r);

    if (rc < 0)
        return rc;
    rc = rename_locked(r, from, to, noreplace, seen, &n);
    rc = tx_end(r, rc, "replica.rename.committed");
    if (rc == 0 && opid)
        *opid = n;
    return rc;
}
