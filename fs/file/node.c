/* SPDX-License-Identifier: MIT */
/*
 * Two hash tables of nodes, by id and by parent and name; only attached nodes are in the second. A
 * node is freed when neither the kernel (nlookup) nor a child, handle or request (refs) has it.
 * Each node has a reference on its parent, so a path can be built as long as the node is not
 * unlinked.
 */
#include "fs/file/node.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/hash.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"

#define BUCKETS_MIN 1024
#define STALE_SLOTS 256   /* a power of 2; two names in one slot do no harm */
#define AGAIN_MS    10000 /* between an ESTALE and the kernel's next lookup, on a busy machine */

struct nodes {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct node **by_id;   /* `buckets` chains by next_id: every node */
    struct node **by_name; /* the same number by next_name: attached nodes */
    size_t buckets, count;
    uint64_t last_id;
    struct node *root;
    struct idle_files idle;
    int64_t stale[STALE_SLOTS]; /* when OPEN of such a name was last answered ESTALE; 0: never */
};

static size_t id_bucket(const struct nodes *t, uint64_t id)
{
    return (size_t)(id * 0x9e3779b97f4a7c15u >> 20) & (t->buckets - 1);
}

/* Over the parent's id and the name. */
static uint64_t name_hash(const struct node *parent, const char *name)
{
    uint64_t h = HASH64_START ^ parent->id * 0x9e3779b97f4a7c15u;

    for (; *name; name++)
        h = hash64_byte(h, (unsigned char)*name);
    return h ^ h >> 32;
}

static size_t name_bucket(const struct nodes *t, const struct node *parent, const char *name)
{
    return (size_t)name_hash(parent, name) & (t->buckets - 1);
}

static void chain_add(struct nodes *t, struct node *n)
{
    size_t b = id_bucket(t, n->id);

    n->next_id = t->by_id[b];
    t->by_id[b] = n;
}

static void attach(struct nodes *t, struct node *n)
{
    size_t b = name_bucket(t, n->parent, n->name);

    n->next_name = t->by_name[b];
    t->by_name[b] = n;
    n->attached = true;
}

static void detach(struct nodes *t, struct node *n)
{
    struct node **p;

    if (!n->attached)
        return;
    p = &t->by_name[name_bucket(t, n->parent, n->name)];
    while (*p != n)
        p = &(*p)->next_name;
    *p = n->next_name;
    n->attached = false;
}

static void grow(struct nodes *t)
{
    struct node **old = t->by_id;
    size_t n_old = t->buckets;

    t->buckets *= 2;
    free(t->by_name);
    t->by_id = xcalloc(t->buckets, sizeof(struct node *));
    t->by_name = xcalloc(t->buckets, sizeof(struct node *));
    for (size_t i = 0; i < n_old; i++) {
        for (struct node *n = old[i], *next; n; n = next) {
            next = n->next_id;
            chain_add(t, n);
            if (n->attached)
                attach(t, n);
        }
    }
    free(old);
}

static struct node *add(struct nodes *t, struct node *parent, const char *name)
{
    struct node *n = xcalloc(1, sizeof(*n));

    if (++t->count > t->buckets)
        grow(t);
    n->id = ++t->last_id;
    chain_add(t, n);
    if (parent) {
        parent->refs++;
        n->parent = parent;
        n->name = xstrdup(name);
        attach(t, n);
    }
    return n;
}

struct nodes *nodes_new(void)
{
    struct nodes *t = xcalloc(1, sizeof(*t));

    mutex_init(&t->lock);
    cond_init(&t->changed);
    t->buckets = BUCKETS_MIN;
    t->by_id = xcalloc(t->buckets, sizeof(struct node *));
    t->by_name = xcalloc(t->buckets, sizeof(struct node *));
    t->root = add(t, NULL, NULL);
    t->root->attr.type = NODE_DIR;
    t->root->attr.mode = 0755;
    t->root->attr.ino = 1;
    return t;
}

static void free_node(struct nodes *t, struct node *n)
{
    file_unref_locked(n->content);
    idle_drop_locked(&t->idle, &n->idle);
    free(n->name);
    free(n->target);
    free(n->was_name);
    free(n);
}

void nodes_free(struct nodes *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->buckets; i++) {
        for (struct node *n = t->by_id[i], *next; n; n = next) {
            next = n->next_id;
            free_node(t, n);
        }
    }
    free(t->by_id);
    free(t->by_name);
    cond_destroy(&t->changed);
    mutex_destroy(&t->lock);
    free(t);
}

void nodes_lock(struct nodes *t)
{
    mutex_lock(&t->lock);
}

void nodes_unlock(struct nodes *t)
{
    mutex_unlock(&t->lock);
}

void nodes_wait(struct nodes *t)
{
    cond_wait(&t->changed, &t->lock);
}

void nodes_wake(struct nodes *t)
{
    cond_broadcast(&t->changed);
}

struct node *node_get_locked(struct nodes *t, uint64_t id)
{
    struct node *n = t->by_id[id_bucket(t, id)];

    while (n && n->id != id)
        n = n->next_id;
    return n;
}

struct node *node_get(struct nodes *t, uint64_t id)
{
    struct node *n;

    mutex_lock(&t->lock);
    n = node_get_locked(t, id);
    if (n)
        n->refs++;
    mutex_unlock(&t->lock);
    return n;
}

/* Frees n when nobody holds it any more, and then the nodes that only n held. */
static void reap(struct nodes *t, struct node *n)
{
    while (n && n != t->root && n->nlookup == 0 && n->refs == 0 && !n->draft) {
        struct node *parent = n->parent, **p = &t->by_id[id_bucket(t, n->id)];

        if (n->was_in) {
            n->was_in->refs--;
            reap(t, n->was_in);
        }
        detach(t, n);
        while (*p != n)
            p = &(*p)->next_id;
        *p = n->next_id;
        t->count--;
        free_node(t, n);
        if (parent)
            parent->refs--;
        n = parent;
    }
}

void node_ref_locked(struct node *n)
{
    n->refs++;
}

void node_unref_locked(struct nodes *t, struct node *n)
{
    n->refs--;
    reap(t, n);
}

void node_unref(struct nodes *t, struct node *n)
{
    if (!n)
        return;
    mutex_lock(&t->lock);
    node_unref_locked(t, n);
    mutex_unlock(&t->lock);
}

void node_forget(struct nodes *t, uint64_t id, uint64_t count)
{
    struct node *n;

    mutex_lock(&t->lock);
    n = node_get_locked(t, id);
    if (n) {
        n->nlookup -= count < n->nlookup ? count : n->nlookup;
        n->asked = false; /* it may not have taken the answer */
        reap(t, n);
    }
    mutex_unlock(&t->lock);
}

char *node_path_locked(const struct node *n)
{
    size_t len = 0;
    const struct node *i;
    char *path, *p;

    for (i = n; i->parent; i = i->parent)
        len += strlen(i->name) + 1;
    if (i->id != 1)
        return NULL;
    if (len == 0)
        return xstrdup("");
    path = xmalloc(len);
    p = path + len;
    for (i = n; i->parent; i = i->parent) {
        size_t l = strlen(i->name);
        *--p = i == n ? '\0' : '/';
        p -= l;
        memcpy(p, i->name, l);
    }
    return path;
}

char *node_path(struct nodes *t, const struct node *n)
{
    char *path;

    mutex_lock(&t->lock);
    path = node_path_locked(n);
    mutex_unlock(&t->lock);
    return path;
}

char *node_last_path(struct nodes *t, const struct node *n)
{
    char *dir, *path;

    mutex_lock(&t->lock);
    path = node_path_locked(n);
    if (!path && n->was_in) {
        dir = node_path_locked(n->was_in);
        path = dir ? path_join(dir, n->was_name) : NULL;
        free(dir);
    }
    mutex_unlock(&t->lock);
    return path;
}

struct node *node_child_locked(struct nodes *t, const struct node *parent, const char *name)
{
    struct node *n = t->by_name[name_bucket(t, parent, name)];

    while (n && (n->parent != parent || strcmp(n->name, name) != 0))
        n = n->next_name;
    return n;
}

struct node *node_find_locked(struct nodes *t, const char *path)
{
    struct node *n = t->root;
    char name[EEFS_NAME_MAX + 1];

    while (n && *path) {
        size_t len = strcspn(path, "/");

        if (len > EEFS_NAME_MAX)
            return NULL;
        memcpy(name, path, len);
        name[len] = '\0';
        n = node_child_locked(t, n, name);
        path += len + (path[len] == '/');
    }
    return n;
}

bool node_same_version(const struct node_attr *a, const struct node_attr *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == NODE_LINK)
        return a->ino == b->ino;
    return a->type != NODE_FILE || hash_eq(&a->hash, &b->hash);
}

/* By the name alone: the folder that the kernel comes through next may be another one. */
static int64_t *stale_slot(struct nodes *t, const char *name)
{
    return &t->stale[name_hash(t->root, name) & (STALE_SLOTS - 1)];
}

struct node *node_enter_locked(struct nodes *t, struct node *parent, const char *name,
                               const struct node_attr *attr)
{
    struct node *n = node_child_locked(t, parent, name);
    int64_t stale;

    if (n && !n->draft && !node_same_version(&n->attr, attr)) {
        node_supersede_locked(t, n);
        n = NULL;
    }
    if (!n)
        n = add(t, parent, name);
    stale = *stale_slot(t, name);
    n->again = stale && clock_mono_ms() - stale < AGAIN_MS;
    if (!n->draft)
        n->attr = *attr;
    n->nlookup++;
    return n;
}

struct node *node_know_locked(struct nodes *t, struct node *parent, const char *name,
                              const struct node_attr *attr)
{
    struct node *n = node_child_locked(t, parent, name);

    if (!n) {
        n = add(t, parent, name);
        n->attr = *attr;
    }
    return n;
}

void node_supersede_locked(struct nodes *t, struct node *n)
{
    detach(t, n);
    idle_drop_locked(&t->idle, &n->idle);
    reap(t, n);
}

void node_stale_locked(struct nodes *t, const struct node *n)
{
    const char *name = n->name ? n->name : n->was_name;

    if (name)
        *stale_slot(t, name) = clock_mono_ms();
}

bool node_show_locked(struct nodes *t, struct node *n, bool displace)
{
    struct node *there = n->parent ? node_child_locked(t, n->parent, n->name) : NULL;

    if (n->attached || !n->parent ||
        (there && (!displace || there->draft || there->attr.type != NODE_FILE)))
        return false;
    if (there)
        node_supersede_locked(t, there);
    attach(t, n);
    return true;
}

void node_unlink_locked(struct nodes *t, struct node *n)
{
    struct node *parent = n->parent;

    detach(t, n);
    idle_drop_locked(&t->idle, &n->idle);
    if (parent && n->attr.type == NODE_FILE) {
        n->was_in = parent;
        n->was_name = n->name;
        parent->refs++;
    } else {
        free(n->name);
    }
    n->parent = NULL;
    n->name = NULL;
    reap(t, n);
    if (parent)
        node_unref_locked(t, parent);
}

void node_carry_locked(struct nodes *t, struct node *n, struct node *parent, const char *name)
{
    struct node *old = n->parent;
    bool attached = n->attached;
    char *copy = xstrdup(name); /* may be its own */

    detach(t, n);
    free(n->name);
    n->name = copy;
    n->parent = parent;
    parent->refs++;
    if (attached)
        attach(t, n);
    if (old)
        node_unref_locked(t, old);
}

void node_move_locked(struct nodes *t, struct node *n, struct node *parent, const char *name)
{
    struct node *there = node_child_locked(t, parent, name);

    if (there == n)
        return;
    if (there)
        node_unlink_locked(t, there);
    node_carry_locked(t, n, parent, name);
    if (!n->attached)
        attach(t, n);
}

void nodes_each_locked(struct nodes *t, void (*fn)(void *arg, struct node *n), void *arg)
{
    for (size_t i = 0; i < t->buckets; i++)
        for (struct node *n = t->by_id[i]; n; n = n->next_id)
            fn(arg, n);
}

void file_unref(struct nodes *t, struct file *f)
{
    mutex_lock(&t->lock);
    file_unref_locked(f);
    mutex_unlock(&t->lock);
}

void nodes_keep_idle(struct nodes *t, size_t max)
{
    mutex_lock(&t->lock);
    t->idle.max = max;
    mutex_unlock(&t->lock);
}

void nodes_close_idle(struct nodes *t)
{
    mutex_lock(&t->lock);
    idle_trim_locked(&t->idle, 0);
    mutex_unlock(&t->lock);
}

void node_set_content_locked(struct nodes *t, struct node *n, int fd,
                             const struct store_stamp *stamp)
{
    n->content = file_new(fd);
    n->content->hash = n->attr.hash;
    n->content->stamp = *stamp;
    idle_yield_locked(&t->idle, fd);
}

void node_rest_locked(struct nodes *t, struct node *n)
{
    struct file *f = n->content;

    n->content = NULL;
    if (f && n->attached && !n->draft && !hash_is_none(&f->hash) &&
        hash_eq(&f->hash, &n->attr.hash)) {
        idle_drop_locked(&t->idle, &n->idle);
        idle_put_locked(&t->idle, &n->idle, f);
    } else {
        file_unref_locked(f);
    }
}

bool node_resume_locked(struct nodes *t, struct node *n)
{
    struct file *f;

    if (n->content)
        return true;
    f = idle_take_locked(&t->idle, &n->idle);
    if (f && hash_eq(&f->hash, &n->attr.hash) && store_unchanged(&f->stamp, f->fd))
        n->content = f;
    else
        file_unref_locked(f);
    return n->content != NULL;
}
