/* SPDX-License-Identifier: MIT */
/*
 * scope: the owner of this cache and the readable and writable paths, as the last hello reported
 * them: kept in memory under scope_lock, and in the database for a start without the master.
 */
#include "sync/mirror/replica/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/thread.h"
#include "sync/proto/json.h"

static bool excluded(const struct replica *r, const char *path)
{
    for (size_t i = 0; i < r->exclude.n; i++) {
        if (path_matches(r->exclude.v[i], path))
            return true;
    }
    return false;
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

/* True when a pattern of the exclude list is for names in this folder. */
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

/* --- hello --- */

static bool list_same(const struct strlist *a, const struct strlist *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return a->n == b->n;
}

static int save_json(struct replica *r, const char *key, json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT);
    int rc = text ? meta_keep(r->db, key, text) : -ENOMEM;

    free(text);
    return rc;
}

/* Writes only changed values: hello comes with each contact, and also on a full disk. */
static int save_remote(struct replica *r, const struct remote *remote)
{
    json_t *scope = json_object(), *volumes = json_object();
    char gen[24];
    int rc;

    scope_to_json(&remote->scope, scope);
    json_set_paths(volumes, "volumes", &remote->volumes);
    rc = save_json(r, "scope", scope);
    if (rc == 0)
        rc = save_json(r, "volumes", volumes);
    json_decref(scope);
    json_decref(volumes);
    snprintf(gen, sizeof(gen), "%lld", (long long)remote->scopegen);
    if (rc == 0)
        rc = meta_keep(r->db, "master_id", remote->master_id);
    if (rc == 0)
        rc = meta_keep(r->db, "url", remote->url);
    if (rc == 0)
        rc = meta_keep(r->db, "name", remote->name);
    if (rc == 0)
        rc = meta_keep(r->db, "scopegen", gen);
    /* changed under `lock` only, as master_id */
    if (rc < 0 || list_same(&r->exclude, &remote->exclude))
        return rc;
    rc = db_run(r->db, "DELETE FROM exclude", "");
    for (size_t i = 0; rc >= 0 && i < remote->exclude.n; i++)
        rc = db_run(r->db, "INSERT INTO exclude(pattern) VALUES(?)", "p", remote->exclude.v[i]);
    return rc < 0 ? rc : 0;
}

static void copy_list(struct strlist *to, const struct strlist *from)
{
    strlist_release(to);
    for (size_t i = 0; i < from->n; i++)
        strlist_add(to, from->v[i]);
}

int replica_set_remote(struct replica *r, const struct remote *remote)
{
    bool other;
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    /* master_id changes under `lock` only, so it may be read here */
    if (*r->master_id && strcmp(r->master_id, remote->master_id) != 0)
        rc = -EXDEV;
    else
        rc = save_remote(r, remote);
    rc = tx_end(r, rc, "replica.remote.committed");
    if (rc < 0)
        return rc;
    atomic_store(&r->folder_times, remote->folder_times);
    mutex_lock(&r->scope_lock);
    free(r->master_id);
    r->master_id = xstrdup(remote->master_id);
    other = r->remote_known && (!list_same(&r->scope.write, &remote->scope.write) ||
                                !list_same(&r->exclude, &remote->exclude));
    copy_list(&r->scope.read, &remote->scope.read);
    copy_list(&r->scope.write, &remote->scope.write);
    copy_list(&r->scope.deny, &remote->scope.deny);
    copy_list(&r->exclude, &remote->exclude);
    copy_list(&r->volumes, &remote->volumes);
    r->remote_known = true;
    mutex_unlock(&r->scope_lock);
    return other;
}
