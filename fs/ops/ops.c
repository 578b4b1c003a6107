/* SPDX-License-Identifier: MIT */
#include "fs/ops/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/file/draft.h"
#include "fs/file/notify.h"
#include "fs/file/publish.h"
#include "sync/common/buf.h"
#include "sync/common/path.h"

static int begin(struct fs *fs, fuse_ino_t ino, const char *name, struct node **ret, char **path)
{
    struct node *n;
    char *p = NULL, *joined = NULL;
    int r = 0;

    nodes_lock(fs->nodes);
    n = node_get_locked(fs->nodes, ino);
    if (n) {
        p = node_path_locked(n);
        if (p)
            node_ref_locked(n);
    }
    nodes_unlock(fs->nodes);
    if (!p)
        r = n ? -ENOENT : -ESTALE;
    else if (name && strlen(name) > EEFS_NAME_MAX)
        r = -ENAMETOOLONG;
    if (r == 0 && name) {
        joined = path_join(p, name);
        free(p);
        p = joined;
        if (strlen(p) > EEFS_PATH_MAX)
            r = -ENAMETOOLONG;
    }
    if (r < 0) {
        if (p)
            node_unref(fs->nodes, n);
        free(p);
        fs_tree_unlock(fs);
        return r;
    }
    *ret = n;
    *path = p;
    return 0;
}

int ops_begin(struct fs *fs, fuse_ino_t ino, const char *name, struct node **ret, char **path)
{
    fs_tree_read(fs);
    return begin(fs, ino, name, ret, path);
}

int ops_begin_write(struct fs *fs, fuse_ino_t ino, const char *name, struct node **ret, char **path)
{
    fs_tree_write(fs);
    return begin(fs, ino, name, ret, path);
}

void ops_end(struct fs *fs, struct node *n, char *path)
{
    fs_tree_unlock(fs);
    free(path);
    node_unref(fs->nodes, n);
}

static void fill_entry(struct fs *fs, const struct node *n, const char *path,
                       struct fuse_entry_param *ret)
{
    struct node_attr a = n->attr;

    memset(ret, 0, sizeof(*ret));
    draft_attr_locked(n, &a);
    ret->ino = n->id;
    ret->attr_timeout = FS_TIMEOUT;
    ret->entry_timeout = FS_TIMEOUT;
    fs_stat(fs, path, &a, &ret->attr);
}

void ops_enter(struct fs *fs, struct node *parent, const char *name, const char *path,
               const struct node_attr *a, bool listed, struct fuse_entry_param *ret)
{
    struct node *n;
    char *target = NULL;

    if (a->type == NODE_LINK && replica_readlink(fs->replica, path, &target) < 0)
        target = NULL; /* replaced just now */
    nodes_lock(fs->nodes);
    n = node_enter_locked(fs->nodes, parent, name, a);
    n->listed |= listed;
    n->asked = true;
    if (!n->target) {
        n->target = target;
        target = NULL;
    }
    fill_entry(fs, n, path, ret);
    nodes_unlock(fs->nodes);
    free(target);
}

/* A file that is written here but that the master removed: still there while the draft lives. */
bool ops_enter_draft(struct fs *fs, struct node *parent, const char *name, const char *path,
                     struct fuse_entry_param *ret)
{
    struct node *n;

    nodes_lock(fs->nodes);
    n = node_child_locked(fs->nodes, parent, name);
    if (n && n->draft) {
        n->nlookup++;
        fill_entry(fs, n, path, ret);
    } else {
        if (n) /* the kernel keeps "not found" for its name */
            n->asked = false;
        n = NULL;
    }
    nodes_unlock(fs->nodes);
    return n != NULL;
}

bool ops_attr_now(struct fs *fs, struct node *n, struct stat *ret)
{
    struct node_attr now;
    bool sure = false;
    char *path;

    fs_tree_read(fs);
    path = node_path(fs->nodes, n);
    if (path && replica_lookup(fs->replica, path, &now) == 0) {
        nodes_lock(fs->nodes);
        if (n->attached || n->id == 1) {
            sure = n->draft || node_same_version(&n->attr, &now);
            if (!n->draft && sure)
                n->attr = now;
        }
        nodes_unlock(fs->nodes);
    }
    nodes_lock(fs->nodes);
    now = n->attr;
    draft_attr_locked(n, &now);
    nodes_unlock(fs->nodes);
    fs_stat(fs, path, &now, ret);
    fs_tree_unlock(fs);
    free(path);
    return sure;
}

void ops_let_go(struct fs *fs, struct node *n, bool writable)
{
    bool dirty;
    char *path = NULL;

    nodes_lock(fs->nodes);
    n->opens--;
    n->writers -= writable;
    dirty = writable && n->writers == 0 && n->draft && n->draft->dirty && n->parent;
    if (!dirty && draft_settle_locked(fs, n))
        path = node_path_locked(n);
    if (n->opens == 0) {
        node_rest_locked(fs->nodes, n);
        if (n->renewed && n->attached && !n->draft) {
            free(path);
            path = node_path_locked(n);
            node_supersede_locked(fs->nodes, n);
        }
    }
    nodes_unlock(fs->nodes);
    if (dirty) /* writes of an mmap after close(), or of a handle that was never flushed */
        publish_start(fs, n, NULL, NULL, NULL);
    if (path)
        notify_path(fs->notify, path);
    free(path);
}
