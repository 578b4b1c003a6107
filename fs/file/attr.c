/* SPDX-License-Identifier: MIT */
#include "fs/file/attr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/account.h"
#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/path.h"

static int add_private(struct attr_rules *r, const char *text, struct err *e)
{
    const char *colon = strrchr(text, ':');
    struct attr_private p = {NULL, 0, 0};
    char *name;
    int res;

    if (!*text || strcmp(text, "none") == 0)
        return 0;
    if (!colon)
        return err_set(e, EINVAL, "option private: '%s' is not PATH:USER", text);
    if (account_user(colon + 1, &p.uid, &p.gid) < 0)
        return err_set(e, EINVAL, "option private: no user '%s'", colon + 1);
    name = xstrndup(text, (size_t)(colon - text));
    res = path_from_text(name, &p.path);
    free(name);
    if (res < 0 || strpbrk(p.path, "*?")) {
        free(p.path);
        return err_set(e, EINVAL,
                       "option private: '%s': the part before ':' is the path of a folder in the "
                       "tree (such as sql; / is everything)",
                       text);
    }
    r->private = xrealloc(r->private, (r->n_private + 1) * sizeof(*r->private));
    r->private[r->n_private++] = p;
    return 0;
}

int attr_rules_private(struct attr_rules *r, const struct strlist *list, struct err *e)
{
    for (size_t i = 0; i < list->n; i++) {
        int res = add_private(r, list->v[i], e);
        if (res < 0)
            return res;
    }
    return 0;
}

int attr_rules_owner(struct attr_rules *r, const char *user, const char *group, struct err *e)
{
    r->uid = getuid();
    r->gid = getgid();
    if (user && account_user(user, &r->uid, &r->gid) < 0)
        return err_set(e, EINVAL, "option uid: no user '%s'", user);
    if (group && account_group(group, &r->gid) < 0)
        return err_set(e, EINVAL, "option gid: no group '%s'", group);
    return 0;
}

void attr_rules_release(struct attr_rules *r)
{
    for (size_t i = 0; i < r->n_private; i++)
        free(r->private[i].path);
    free(r->private);
    r->private = NULL;
    r->n_private = 0;
}

static const struct attr_private *private_of(const struct attr_rules *r, const char *path)
{
    const struct attr_private *p = NULL;

    for (size_t i = 0; path && i < r->n_private; i++)
        if (path_is_under(path, r->private[i].path))
            p = &r->private[i];
    return p;
}

mode_t attr_mode(const struct attr_rules *r, const char *path, mode_t want, mode_t now)
{
    mode_t hidden = r->umask | (private_of(r, path) ? 077 : 0);

    return (want & ~hidden) | (now & hidden);
}

void attr_stat(const struct attr_rules *r, const char *path, const struct node_attr *a,
               bool writable, struct stat *ret)
{
    static const mode_t types[] = {
        [NODE_FILE] = S_IFREG, [NODE_DIR] = S_IFDIR, [NODE_LINK] = S_IFLNK};
    const struct attr_private *own = private_of(r, path);

    memset(ret, 0, sizeof(*ret));
    ret->st_ino = a->ino;
    ret->st_mode = types[a->type] | (a->mode & 07777 & ~r->umask);
    if (!writable)
        ret->st_mode &= ~(mode_t)0222;
    if (a->type == NODE_LINK)
        ret->st_mode = S_IFLNK | 0777;
    ret->st_nlink = path ? 1 : 0; /* of a folder: the number of subfolders is not known */
    ret->st_uid = own ? own->uid : r->uid;
    ret->st_gid = own ? own->gid : r->gid;
    if (own)
        ret->st_mode &= ~(mode_t)077;
    ret->st_size = a->type == NODE_DIR ? 4096 : a->size;
    ret->st_blksize = 4096;
    ret->st_blocks =
        a->type == NODE_FILE && a->blocks >= 0 ? a->blocks : (ret->st_size + 511) / 512;
    ret->st_mtim = file_timespec(a->mtime);
    ret->st_atim = file_timespec(a->atime);
    ret->st_ctim = file_timespec(a->ctime);
}
