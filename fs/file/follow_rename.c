/* SPDX-License-Identifier: MIT */
/*
 * A node that is attached goes to the new name, and its children with it; so does a superseded one
 * that is open, whose writer began from an older version. No node moves to a place outside this
 * mirror's write scope: a later close would be refused there, while under its old name the edit is
 * kept. None moves onto a file that is being written here. The notifications that follow correct
 * the kernel's names (notify.c).
 */
#include "fs/file/follow_rename.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file/draft.h"
#include "fs/file/node.h"
#include "sync/common/buf.h"
#include "sync/common/path.h"

#define UNKNOWN_INO UINT64_MAX

/* The node of a folder, which the kernel need not know; NULL when there is no such folder. Held. */
static struct node *folder_node(struct fs *fs, const char *path)
{
    struct node *n = node_get(fs->nodes, FUSE_ROOT_ID), *child;
    struct node_attr a;
    int r = 0;

    for (const char *at = path, *end; n && *at; at = *end ? end + 1 : end) {
        char *whole, *name;

        end = at + strcspn(at, "/");
        whole = xstrndup(path, (size_t)(end - path));
        name = xstrndup(at, (size_t)(end - at));
        r = replica_lookup(fs->replica, whole, &a);
        if (r == -ENOENT) { /* an answer named an entry in it before the feed reported the folder */
            a = (struct node_attr){.type = NODE_DIR, .mode = 0755, .ino = UNKNOWN_INO};
            r = 0;
        }
        nodes_lock(fs->nodes);
        child = r == 0 && a.type == NODE_DIR ? node_know_locked(fs->nodes, n, name, &a) : NULL;
        if (child)
            node_ref_locked(child);
        node_unref_locked(fs->nodes, n);
        nodes_unlock(fs->nodes);
        n = child;
        free(whole);
        free(name);
    }
    return n;
}

struct children {
    const struct node *parent;
    struct node **v;
    size_t n;
};

static void collect_child(void *arg, struct node *n)
{
    struct children *c = arg;

    if (n->parent != c->parent)
        return;
    c->v = xrealloc(c->v, (c->n + 1) * sizeof(struct node *));
    c->v[c->n++] = n;
}

/* A folder replaces a node that existed only for its children. */
static void adopt_locked(struct fs *fs, struct node *n, struct node *made_up)
{
    struct children c = {made_up, NULL, 0};

    node_ref_locked(made_up);
    nodes_each_locked(fs->nodes, collect_child, &c);
    for (size_t i = 0; i < c.n; i++)
        if (!node_child_locked(fs->nodes, n, c.v[i]->name))
            node_carry_locked(fs->nodes, c.v[i], n, c.v[i]->name);
    node_unref_locked(fs->nodes, made_up);
    free(c.v);
}

static void carry_locked(struct fs *fs, struct node *n, struct node *parent, const char *name)
{
    struct node *there = node_child_locked(fs->nodes, parent, name);

    if (there == n || (there && there->draft))
        return;
    if (there && n->attached) {
        if (there->attr.ino == UNKNOWN_INO && n->attr.type == NODE_DIR)
            adopt_locked(fs, n, there);
        there = node_child_locked(fs->nodes, parent, name); /* else gone with its last child */
        if (there)
            node_supersede_locked(fs->nodes, there);
    }
    node_carry_locked(fs->nodes, n, parent, name);
    n->listed = n->asked = false;
    if (n->draft) /* of what has none the replica's row has a new one */
        draft_changed_locked(n->draft, 0);
}

/* Nodes with a path that are open but not attached; each held. */
struct older {
    struct node **v;
    size_t n;
};

static void collect_older(void *arg, struct node *n)
{
    struct older *o = arg;

    if (n->attached || !n->parent || n->opens == 0)
        return;
    o->v = xrealloc(o->v, (o->n + 1) * sizeof(struct node *));
    o->v[o->n++] = n;
    node_ref_locked(n);
}

/* True when its path is `path`. */
static bool is_at_locked(const struct node *n, const char *path)
{
    char *own = n->parent && strcmp(n->name, path_base(path)) == 0 ? node_path_locked(n) : NULL;
    bool yes = own && strcmp(own, path) == 0;

    free(own);
    return yes;
}

static bool is_known(struct fs *fs, const struct older *o, const char *path)
{
    bool found;

    nodes_lock(fs->nodes);
    found = node_find_locked(fs->nodes, path) != NULL;
    for (size_t i = 0; !found && i < o->n; i++)
        found = is_at_locked(o->v[i], path);
    nodes_unlock(fs->nodes);
    return found;
}

static void follow_one(struct fs *fs, const struct older *o, const struct replica_move *m)
{
    struct node *n, *parent;
    char *dir;

    if (!is_known(fs, o, m->from) || !replica_writable(fs->replica, m->to))
        return;
    dir = path_parent(m->to);
    parent = folder_node(fs, dir);
    free(dir);
    if (!parent)
        return;
    nodes_lock(fs->nodes);
    n = node_find_locked(fs->nodes, m->from);
    for (size_t i = 0; i < o->n; i++)
        if (is_at_locked(o->v[i], m->from))
            carry_locked(fs, o->v[i], parent, path_base(m->to));
    if (n)
        carry_locked(fs, n, parent, path_base(m->to));
    node_unref_locked(fs->nodes, parent);
    nodes_unlock(fs->nodes);
}

static int folders_first(const void *a, const void *b)
{
    const struct replica_move *x = a, *y = b;
    size_t n = strlen(x->from), m = strlen(y->from);

    return n != m ? (n > m) - (n < m) : strcmp(x->from, y->from);
}

void follow_rename(void *arg, const struct replica_move *v, size_t n, bool begin)
{
    struct fs *fs = arg;
    struct replica_move *sorted;
    struct older o = {NULL, 0};

    if (begin) {
        fs_tree_write(fs);
        return;
    }
    sorted = xcalloc(n + 1, sizeof(*sorted));
    for (size_t i = 0; i < n; i++)
        sorted[i] = v[i];
    if (n > 0) {
        qsort(sorted, n, sizeof(*sorted), folders_first);
        nodes_lock(fs->nodes);
        nodes_each_locked(fs->nodes, collect_older, &o);
        nodes_unlock(fs->nodes);
    }
    for (size_t i = 0; i < n; i++)
        follow_one(fs, &o, &sorted[i]);
    for (size_t i = 0; i < o.n; i++)
        node_unref(fs->nodes, o.v[i]);
    free(o.v);
    free(sorted);
    fs_tree_unlock(fs);
}
