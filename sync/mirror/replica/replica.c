/* SPDX-License-Identifier: MIT */
/* replica: reading the view, and the remote's scope. What changes it is in outbox.c and follow.c.
 */
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
    rc = db_run(db, "BEGIN", "");
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

static bool excluded(const struct replica *r, const char *path)
{
    for (size_t i = 0; i < r->exclude.n; i++) {
        if (path_matches(r->exclude.v[i], path))
            return true;
    }
    return false;
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

void replica_set_read_only(struct replica *r, bool read_only)
{
    atomic_store(&r->read_only, read_only);
}

bool replica_excludes(struct replica *r)
{
    bool yes;

    mutex_lock(&r->scope_lock);
    yes = r->exclude.n > 0;
    mutex_unlock(&r->scope_lock);
    return yes;
}

bool replica_is_local(struct replica *r, const char *path)
{
    bool yes;

    mutex_lock(&r->scope_lock);
    yes = r->remote_known && excluded(r, path);
    mutex_unlock(&r->scope_lock);
    return yes;
}

bool replica_is_volume(struct replica *r, const char *path)
{
    bool yes = false;

    mutex_lock(&r->scope_lock);
    for (size_t i = 0; i < r->volumes.n && !yes; i++)
        yes = strcmp(r->volumes.v[i], path) == 0;
    mutex_unlock(&r->scope_lock);
    return yes;
}

bool replica_holds_volume(struct replica *r, const char *path)
{
    bool yes = false;

    mutex_lock(&r->scope_lock);
    for (size_t i = 0; i < r->volumes.n && !yes; i++)
        yes = path_is_under(r->volumes.v[i], path);
    mutex_unlock(&r->scope_lock);
    return yes;
}

/* With scope_lock: the length of the top of the one that `path` lies on; 0: the root's own. */
static size_t volume_locked(const struct replica *r, const char *path)
{
    size_t best = 0;

    for (size_t i = 0; i < r->volumes.n; i++)
        if (path_is_under(path, r->volumes.v[i]) && strlen(r->volumes.v[i]) > best)
            best = strlen(r->volumes.v[i]);
    return best;
}

bool replica_same_volume(struct replica *r, const char *a, const char *b)
{
    size_t n, m;

    mutex_lock(&r->scope_lock);
    n = volume_locked(r, a);
    m = volume_locked(r, b);
    mutex_unlock(&r->scope_lock);
    return n == m && strncmp(a, b, n) == 0;
}

bool replica_writable(struct replica *r, const char *path)
{
    bool yes;

    if (atomic_load(&r->read_only))
        return false;
    mutex_lock(&r->scope_lock);
    yes = r->remote_known && (excluded(r, path) || scope_writes(&r->scope, path));
    mutex_unlock(&r->scope_lock);
    return yes;
}

/* A pattern of the exclude list is for what is in this folder. */
static bool excludes_in(const struct replica *r, const char *dir)
{
    bool yes = false;

    for (size_t i = 0; i < r->exclude.n && !yes; i++) {
        const char *p = r->exclude.v[i];
        size_t len;
        char *folder;

        p += strspn(p, "/");
        len = strlen(p);
        while (len > 0 && p[len - 1] == '/')
            len--;
        while (len > 0 && p[len - 1] != '/')
            len--;
        folder = xasprintf("/%.*s", len > 0 ? (int)len - 1 : 0, p);
        yes = len > 0 && path_matches(folder, dir);
        free(folder);
    }
    return yes;
}

/* A path of the write scope that is right below `dir`, and is not there. */
static bool lacks_write_root(struct replica *r, const char *dir)
{
    struct strlist roots = {NULL, 0};
    struct node_attr a;
    bool lacks = false;

    mutex_lock(&r->scope_lock);
    for (size_t i = 0; i < r->scope.write.n; i++) {
        const char *w = r->scope.write.v[i];
        size_t len = path_parent_len(w);

        if (*w && strlen(dir) == len && memcmp(dir, w, len) == 0)
            strlist_add(&roots, w);
    }
    mutex_unlock(&r->scope_lock);
    for (size_t i = 0; i < roots.n && !lacks; i++)
        lacks = replica_lookup(r, roots.v[i], &a) == -ENOENT;
    strlist_release(&roots);
    return lacks;
}

bool replica_shows_writable(struct replica *r, const char *path, enum node_type type)
{
    bool yes;

    if (atomic_load(&r->read_only))
        return false;
    mutex_lock(&r->scope_lock);
    yes = r->remote_known && (scope_writes(&r->scope, path) || excluded(r, path) ||
                              (type == NODE_DIR && excludes_in(r, path)));
    mutex_unlock(&r->scope_lock);
    return yes || (type == NODE_DIR && lacks_write_root(r, path));
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
