/* SPDX-License-Identifier: MIT */
/*
 * attr: attributes, extended attributes and the filesystem's figures. SETATTR may truncate, which
 * waits as a WRITE does for a draft that is busy (see io.c).
 */
#include "fs/ops/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/file/draft.h"
#include "fs/file/publish.h"
#include "fs/file/turn.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/path.h"

#define BLOCK 4096

static void reply_attr(fuse_req_t req, struct node *n)
{
    struct stat st;
    struct fs *fs = fs_of(req);
    bool sure;

    sure = ops_attr_now(fs, n, &st);
    fuse_reply_attr(req, &st, sure ? FS_TIMEOUT : 0.0);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct node *n = node_get(fs->nodes, ino);

    (void)fi;
    if (!n) {
        fuse_reply_err(req, ESTALE);
        return;
    }
    reply_attr(req, n);
    node_unref(fs->nodes, n);
}

/* --- setattr: chmod and utimens at once, then a truncation, which may have to wait --- */

struct setattr {
    struct fs *fs;
    fuse_req_t req;
    struct node *node; /* holds a reference, and counts as a writer while there is a size to set */
    int todo;          /* FUSE_SET_ATTR_… */
    struct node_change change;
    off_t size;
    struct handle *handle; /* NULL: truncate(2), which is open, truncate and close in one */
    struct deferred_reply *later;
};

static void setattr_end(struct setattr *s, int r)
{
    struct fs *fs = s->fs;

    if (r == -ESTALE && s->handle) /* there is no name to look up again */
        r = -ENOENT;

    if (!s->later || deferred_reply_claim(s->later)) {
        if (r < 0)
            fuse_reply_err(s->req, -r);
        else
            reply_attr(s->req, s->node);
    }
    if (s->todo & FUSE_SET_ATTR_SIZE)
        ops_let_go(fs, s->node, true);
    node_unref(fs->nodes, s->node);
    free(s);
}

static void setattr_waited(void *arg, int result)
{
    setattr_end(arg, result);
}

/* The node's path, or NULL when it has none, or something of another type is there by now. */
static char *own_path(struct fs *fs, const struct node *n, bool *unpublished)
{
    struct node_attr now;
    enum node_type type;
    char *path;

    nodes_lock(fs->nodes);
    path = node_path_locked(n);
    type = n->attr.type;
    *unpublished = draft_unpublished_locked(n);
    nodes_unlock(fs->nodes);
    if (path && !*unpublished && replica_lookup(fs->replica, path, &now) == 0 && now.type != type) {
        free(path);
        path = NULL;
    }
    return path;
}

/* `ctime`: the replica's of this change, or 0. */
static void set_node_locked(struct node *n, const struct node_change *c, int64_t ctime)
{
    struct draft *d = n->draft;

    if (d)
        draft_changed_locked(d, ctime);
    if (c->has_mode)
        *(d ? &d->mode : &n->attr.mode) = c->mode;
    if (c->has_mtime)
        *(d ? &d->mtime : &n->attr.mtime) = c->mtime;
    if (c->has_atime)
        n->attr.atime = c->atime;
}

/*
 * Bits that are hidden here keep their value. A mirror must not create files that run as another
 * user on the master, so setuid and setgid cannot be set here; those of the master's file are
 * cleared when it is written.
 */
static int check_mode(struct fs *fs, struct setattr *s, const char *path)
{
    struct node_attr now;

    if (!s->change.has_mode)
        return 0;
    nodes_lock(fs->nodes);
    now = s->node->attr;
    draft_attr_locked(s->node, &now);
    nodes_unlock(fs->nodes);
    s->change.mode = attr_mode(&fs->rules, path, s->change.mode, now.mode);
    return now.type == NODE_FILE && (s->change.mode & (S_ISUID | S_ISGID)) ? -EPERM : 0;
}

/* chmod and utimens of an entry in the replica; a draft keeps them until it is published. */
static int set_plain(struct setattr *s)
{
    struct fs *fs = s->fs;
    struct node_attr a = {0};
    int64_t opid = 0;
    bool unpublished, tried = false;
    char *path;
    int r = 0;

    fs_tree_read(fs);
    path = own_path(fs, s->node, &unpublished);
    r = check_mode(fs, s, path);
    do {
        if (r == 0 && path && !unpublished)
            r = replica_setattr(fs->replica, path, &s->change, &a, &opid);
    } while (fs_room(fs, r, &tried));
    if (path && unpublished && !replica_writable(fs->replica, path))
        r = -EROFS;
    nodes_lock(fs->nodes);
    if (r == 0 && (s->node->draft || !path))
        set_node_locked(s->node, &s->change, a.ctime);
    nodes_unlock(fs->nodes);
    fs_tree_unlock(fs);
    if (r == 0)
        fs_changed(fs, opid);
    free(path);
    return r;
}

static void setattr_size(void *arg, int error)
{
    struct setattr *s = arg;
    struct fs *fs = s->fs;
    bool alone;
    int r = error ? error : draft_try(fs, s->node, s->size == 0);

    if (r == -EAGAIN) {
        draft_queue(fs, s->node, setattr_size, s);
        return;
    }
    if (r == 1) {
        r = draft_truncate(fs, s->node, s->size);
        draft_done(fs, s->node, s->handle, s->size == 0, r);
    }
    if (r == 0 && (s->change.has_mode || s->change.has_mtime || s->change.has_atime))
        r = set_plain(s);
    nodes_lock(fs->nodes);
    alone = s->node->writers == 1;
    nodes_unlock(fs->nodes);
    if (r == 0 && !s->handle && alone) {
        s->later = deferred_reply_new(fs, s->req, LATER_CUT);
        publish_start(fs, s->node, s->later, setattr_waited, s);
        return;
    }
    setattr_end(s, r);
}

static int may_write(struct fs *fs, struct node *n)
{
    char *path = node_path(fs->nodes, n);
    int r = path && !replica_writable(fs->replica, path) ? -EROFS : 0;

    free(path);
    return r;
}

/* Owners are this mount's choice: setting the shown owner succeeds. */
static int check_owner(struct fs *fs, struct node *n, const struct stat *want, int todo)
{
    struct stat now;

    if (!(todo & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
        return 0;
    ops_attr_now(fs, n, &now);
    if ((todo & FUSE_SET_ATTR_UID) && want->st_uid != now.st_uid)
        return -EPERM;
    return (todo & FUSE_SET_ATTR_GID) && want->st_gid != now.st_gid ? -EPERM : 0;
}

static bool times_fit(const struct stat *want, int todo)
{
    return (!(todo & FUSE_SET_ATTR_MTIME) || (todo & FUSE_SET_ATTR_MTIME_NOW) ||
            file_time_fits(&want->st_mtim)) &&
           (!(todo & FUSE_SET_ATTR_ATIME) || (todo & FUSE_SET_ATTR_ATIME_NOW) ||
            file_time_fits(&want->st_atim));
}

static struct node_change change_of(const struct stat *want, int todo)
{
    struct node_change c = {
        .has_mode = todo & FUSE_SET_ATTR_MODE,
        .has_mtime = todo & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW),
        .has_atime = todo & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW),
        .mode = want->st_mode & 07777,
    };
    int64_t now = clock_wall_ns();

    c.mtime = todo & FUSE_SET_ATTR_MTIME_NOW ? now : file_time_ns(&want->st_mtim);
    c.atime = todo & FUSE_SET_ATTR_ATIME_NOW ? now : file_time_ns(&want->st_atim);
    return c;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int todo,
                       struct fuse_file_info *fi)
{
    struct fs *fs = fs_of(req);
    struct setattr *s;
    struct node *n = node_get(fs->nodes, ino);
    int r = n ? check_owner(fs, n, attr, todo) : -ESTALE;

    if (r == 0 && !times_fit(attr, todo))
        r = -EOVERFLOW;
    if (r == 0 && (todo & FUSE_SET_ATTR_SIZE))
        r = may_write(fs, n);
    if (r < 0) {
        fuse_reply_err(req, -r);
        node_unref(fs->nodes, n);
        return;
    }
    s = xcalloc(1, sizeof(*s));
    s->fs = fs;
    s->req = req;
    s->node = n;
    s->todo = todo;
    s->change = change_of(attr, todo);
    s->size = attr->st_size;
    s->handle = fi ? handle_of(fi) : NULL;
    if (!(todo & FUSE_SET_ATTR_SIZE)) {
        setattr_end(s, set_plain(s));
        return;
    }
    nodes_lock(fs->nodes);
    n->writers++;
    n->opens++;
    nodes_unlock(fs->nodes);
    setattr_size(s, 0);
}

/* --- extended attributes: only user.eefs.state, and not listed, so that nothing copies it --- */

static bool is_open(struct fs *fs, fuse_ino_t ino)
{
    struct node *n;
    bool yes;

    nodes_lock(fs->nodes);
    n = node_get_locked(fs->nodes, ino);
    yes = n && n->opens > 0;
    nodes_unlock(fs->nodes);
    return yes;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct fs *fs = fs_of(req);
    const char *text = NULL;
    struct node *n;
    char *path;
    int r = -ENODATA;

    if (strcmp(name, "user.eefs.state") == 0) {
        turn_pass(fs->turn);
        r = ops_begin(fs, ino, NULL, &n, &path);
        if (r == -ENOENT)
            r = is_open(fs, ino) ? -ENODATA : -ESTALE; /* who came by name looks again */
        if (r == 0) {
            r = replica_state_text(fs->replica, path, &text);
            nodes_lock(fs->nodes);
            if (r == 0 && draft_unpublished_locked(n))
                text = "pending";
            else if (r == 0 && strcmp(text, "clean") == 0 && n->attr.type == NODE_FILE &&
                     n->attr.size > 0 && !store_has(fs->store, &n->attr.hash, n->attr.size))
                text = "uncached";
            nodes_unlock(fs->nodes);
            ops_end(fs, n, path);
        }
    }
    if (r < 0)
        fuse_reply_err(req, -r);
    else if (size == 0)
        fuse_reply_xattr(req, strlen(text));
    else if (size < strlen(text))
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, text, strlen(text));
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    (void)ino;
    if (size == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, NULL, 0);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fs *fs = fs_of(req);
    int64_t entries = 0, bytes = 0, used = 0, limit = 0, avail = 0;
    struct statvfs st = {.f_bsize = BLOCK, .f_frsize = BLOCK, .f_namemax = EEFS_NAME_MAX};

    (void)ino;
    replica_totals(fs->replica, &entries, &bytes);
    store_usage(fs->store, &used, &limit, &avail);
    st.f_blocks = (fsblkcnt_t)((bytes + avail + BLOCK - 1) / BLOCK);
    st.f_bfree = (fsblkcnt_t)(avail / BLOCK);
    st.f_bavail = st.f_bfree;
    st.f_ffree = st.f_favail = 1 << 30;
    st.f_files = (fsfilcnt_t)entries + st.f_ffree;
    fuse_reply_statfs(req, &st);
}

void ops_attr(struct fuse_lowlevel_ops *ops)
{
    ops->getattr = op_getattr;
    ops->setattr = op_setattr;
    ops->getxattr = op_getxattr;
    ops->listxattr = op_listxattr;
    ops->statfs = op_statfs;
}
