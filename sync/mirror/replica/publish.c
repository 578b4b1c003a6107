/* SPDX-License-Identifier: MIT */
/*
 * publish: new content of a file goes into the log.
 *
 *   its name is open (created here)      the creation becomes a put, with a number of its own
 *   its last put was never sent          that put gets the new content
 *   it became a conflict copy            the put is of the copy
 *   something else has its place         the put says what it replaces; the master keeps both
 *   else                                 a put
 */
#include "sync/mirror/replica/conflicts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

/* `want` is the row as it shall be, with the inode of v. */
static int publish_op(struct replica *r, const char *path, const struct row *v,
                      const struct row *want, const struct hash *replaces, int64_t *opid)
{
    struct outbox_row old = {0};
    struct op op = put_of(path, want);
    int rc = 0;

    if (row_is_open(v)) {
        rc = outbox_get(r->db, v->opid, &old);
        if (rc == 1) {
            op.pre = old.op.pre;
            op.umask = old.op.mode == op.mode ? old.op.umask : 0; /* else a chmod said it */
        }
        if (rc >= 0)
            rc = outbox_delete(r->db, v->opid);
        if (rc >= 0)
            rc = overlay_delete(r->db, path, v->opid);
        if (rc >= 0)
            rc = outbox_log(r, &op, STATE_QUEUED, want);
        if (rc == 0)
            rc = implicit_dirs_on(r, v->opid);
    } else {
        rc = outbox_rewritable(r->db, path, v, &old);
        if (rc == 1 && old.op.kind == OP_PUT) {
            op.n = old.op.n;
            op.pre = old.op.pre;
            op.umask = old.op.mode == op.mode ? old.op.umask : 0;
            rc = outbox_insert(r->db, &op, STATE_QUEUED);
            if (rc == 0)
                rc = overlay_put(r->db, path, op.n, want);
        } else if (rc >= 0) {
            rc = seen_pre(r->db, path, v, replaces, &op.pre);
            if (rc == 0)
                rc = outbox_log(r, &op, STATE_QUEUED, want);
        }
    }
    *opid = op.n;
    outbox_row_release(&old);
    op_release(&op);
    return rc;
}

/* A file that was local only until the exclude list changed: new writes to it are for all servers,
 * as a new file or in place of the master's. */
static int adopt_local(struct replica *r, const char *path, struct row *v)
{
    int rc = overlay_delete(r->db, path, REPLICA_LOCAL);

    row_release(v);
    return rc < 0 ? rc : view_get(r->db, path, v);
}

/* 1 when the entry at `path` is no file, or the one above it no folder; 0: it is a file, or is
 * gone. */
static int is_displaced(struct db *db, const char *path, const struct row *v)
{
    int rc = 0, found = 0;

    if (v->exists)
        return v->type != ENTRY_FILE;
    for (const char *end = strchr(path, '/'); end && rc == 0; end = strchr(end + 1, '/')) {
        char *folder = xstrndup(path, (size_t)(end - path));
        struct row above;

        rc = view_get(db, folder, &above);
        found = above.exists && above.type != ENTRY_DIR;
        if (rc == 0 && (found || !above.exists))
            rc = 1;
        row_release(&above);
        free(folder);
    }
    return rc < 0 ? rc : found;
}

/* The file's place was taken while it was open. To the master this is as if the feed had come after
 * the close: it keeps both. Here the view stays, and gets the copy from the answer. */
static int publish_displaced(struct replica *r, const char *path, const struct row *want,
                             const struct hash *replaces, int64_t *opid)
{
    struct op op = put_of(path, want);
    int rc;

    op.n = *opid = r->now.next_opid++;
    if (replaces && !hash_is_none(replaces)) {
        op.pre.kind = PRE_HASH;
        op.pre.hash = *replaces;
    }
    rc = outbox_insert(r->db, &op, STATE_QUEUED);
    op_release(&op);
    return rc;
}

static int publish_locked(struct replica *r, const char *path, struct row *want,
                          const struct hash *replaces, int64_t *opid);

static int publish_to_copy(struct replica *r, const char *copy, struct row *want,
                           const struct hash *replaces, int64_t *opid)
{
    int rc = publish_locked(r, copy, want, replaces, opid);

    if (rc == 0)
        rc = db_run(r->db, "UPDATE conflict SET ours=?,ours_mtime=? WHERE copy=?", "hip",
                    &want->hash, want->mtime, copy);
    return rc < 0 ? rc : 0;
}

static int publish_locked(struct replica *r, const char *path, struct row *want,
                          const struct hash *replaces, int64_t *opid)
{
    char *copy = NULL;
    struct row v;
    int rc = view_get(r->db, path, &v);

    if (rc == 0 && !replica_writable(r, path))
        rc = -EROFS;
    if (rc == 0 && v.opid == 0 && !hash_is_none(replaces) && !hash_eq(&v.hash, replaces))
        rc = conflicts_find_own(r->db, path, replaces, &copy);
    if (rc == 1) {
        rc = publish_to_copy(r, copy, want, replaces, opid);
        free(copy);
        row_release(&v);
        return rc;
    }
    if (rc == 0)
        rc = is_displaced(r->db, path, &v);
    if (rc == 1)
        rc = replica_is_local(r, path) ? -EISDIR : publish_displaced(r, path, want, replaces, opid);
    else if (rc == 0 && !v.exists)
        rc = -ENOENT;
    if (rc < 0 || !v.exists || v.type != ENTRY_FILE)
        goto out;
    want->ino = v.ino;
    want->atime = v.atime;
    if (want->ctime <= v.ctime)
        want->ctime = v.ctime + 1;
    *opid = 0;
    view_count(r, 0, want->size - v.size);
    if (!replica_is_local(r, path) && v.opid == REPLICA_LOCAL)
        rc = adopt_local(r, path, &v);
    if (rc < 0)
        goto out;
    if (replica_is_local(r, path))
        rc = overlay_put(r->db, path, REPLICA_LOCAL, want);
    else if (hash_eq(&v.hash, &want->hash) && v.mode == want->mode && v.mtime == want->mtime)
        *opid = v.opid == REPLICA_LOCAL
                    ? 0
                    : v.opid; /* nothing new: wait for the operation under way */
    else
        rc = publish_op(r, path, &v, want, replaces, opid);
out:
    row_release(&v);
    return rc;
}

int replica_publish(struct replica *r, const char *path, const struct hash *hash, int64_t size,
                    int64_t mtime, int64_t ctime, uint32_t mode, const struct hash *replaces,
                    int64_t *opid)
{
    struct row want = {.exists = true,
                       .type = ENTRY_FILE,
                       .size = size,
                       .mtime = mtime,
                       .ctime = ctime,
                       .mode = mode & 07777,
                       .hash = *hash};
    int64_t n = 0;
    int rc = tx_begin_spare(r);

    if (rc < 0)
        return rc;
    rc = publish_locked(r, path, &want, replaces, &n);
    rc = tx_end(r, rc, "replica.publish.committed");
    if (rc == 0)
        *opid = n;
    return rc;
}
