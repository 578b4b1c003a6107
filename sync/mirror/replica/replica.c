/* SPDX-License-Identifier: MIT */
/* replica: reading the view. What changes it is in outbox.c and the files named there, and in
 * feed_apply.c. */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"
#include "sync/mirror/replica/cookie.h"

int replica_lookup(struct replica *r, const char *path, struct node_attr *ret)
{
    struct row row;
    struct db *db;
    int rc = reader_get(r, &db);

    if (rc < 0)
        return rc;
    rc = view_need(r, db, path, &row);
    reader_put(r, db);
    if (rc == 0)
        row_attr(&row, ret);
    row_release(&row);
    return rc;
}

uint64_t replica_generation(struct replica *r)
{
    return atomic_load(&r->generation);
}

struct readdir {
    replica_child_fn *fn;
    void *arg;
    int64_t after, cookie;
    int same; /* names before this one that share its cookie */
};

static int readdir_child(void *arg, const char *name, const struct row *row)
{
    struct readdir *d = arg;
    struct node_attr attr;

    d->same = row->cookie == d->cookie ? d->same + 1 : 0;
    d->cookie = row->cookie;
    if (row->cookie + d->same <= d->after)
        return 0;
    row_attr(row, &attr);
    return d->fn(d->arg, name, row->cookie + d->same, &attr);
}

int replica_readdir(struct replica *r, const char *dir, int64_t after, bool whole,
                    replica_child_fn *fn, void *arg)
{
    struct readdir d = {fn, arg, after, 0, 0};
    struct row row = {0};
    struct db *db;
    int rc = reader_get(r, &db);

    if (rc < 0)
        return rc;
    rc = db_begin_read(db);
    if (rc >= 0)
        rc = view_need(r, db, dir, &row);
    if (rc >= 0 && row.type != ENTRY_DIR)
        rc = -ENOTDIR;
    if (rc >= 0)
        rc = view_each(db, dir, after - after % COOKIE_STEP, whole, readdir_child, &d);
    db_rollback(db);
    reader_put(r, db);
    row_release(&row);
    return rc < 0 ? rc : 0;
}

int replica_readlink(struct replica *r, const char *path, char **ret)
{
    struct row row;
    struct db *db;
    int rc = reader_get(r, &db);

    if (rc < 0)
        return rc;
    rc = view_need(r, db, path, &row);
    reader_put(r, db);
    if (rc == 0 && row.type != ENTRY_LINK)
        rc = -EINVAL;
    if (rc == 0)
        *ret = xstrdup(row.target ? row.target : "");
    row_release(&row);
    return rc;
}

void replica_totals(struct replica *r, int64_t *entries, int64_t *bytes)
{
    *entries = r->entries;
    *bytes = r->bytes;
}

bool replica_has_content(struct replica *r, const struct hash *h, int64_t size)
{
    return !r->has || r->has(r->has_arg, h, size);
}

void replica_set_contents(struct replica *r, replica_has_fn *fn, void *arg)
{
    r->has = fn;
    r->has_arg = arg;
}

int replica_state_text(struct replica *r, const char *path, const char **ret)
{
    struct outbox_row o = {0};
    int64_t conflict = 0;
    const char *text = "clean";
    struct row row;
    struct db *db;
    int rc = reader_get(r, &db);

    if (rc < 0)
        return rc;
    rc = view_need(r, db, path, &row);
    if (rc == 0 && row.opid == REPLICA_LOCAL) {
        text = "local";
    } else if (rc == 0 && row.opid > 0) {
        rc = outbox_get(db, row.opid, &o);
        text = rc == 1 && o.state == STATE_QUARANTINED ? "quarantined" : "pending";
    } else if (rc == 0) {
        rc = db_get_int(db, 0, &conflict,
                        "SELECT EXISTS(SELECT 1 FROM conflict WHERE copy=?1 OR"
                        " (path=?1 AND length(copy)=0))",
                        "p", path);
        if (conflict)
            text = "conflict";
    }
    reader_put(r, db);
    outbox_row_release(&o);
    row_release(&row);
    if (rc < 0)
        return rc;
    *ret = text;
    return 0;
}
