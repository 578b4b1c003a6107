/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/visible.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/path.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/volume.h"

bool visible_hides(const struct folder *f, const char *path)
{
    const struct strlist *exclude = &f->exclude->list;

    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, ROOT_HIDDEN, sizeof(ROOT_HIDDEN) - 1) == 0 &&
            (at[sizeof(ROOT_HIDDEN) - 1] == '/' || !at[sizeof(ROOT_HIDDEN) - 1]))
            return true;
    }
    for (size_t i = 0; i < exclude->n; i++)
        if (path_matches(exclude->v[i], path))
            return true;
    return false;
}

static int look(const struct folder *f, const char *path, struct stat *ret)
{
    struct stat st;
    int r = 0, fd;

    ret->st_mode = 0;
    if (*path && visible_hides(f, path))
        return -ENOENT;
    fd = path_open_beneath(root_fd(f->root), path, O_PATH | O_NOFOLLOW, 0);
    if (fd == -ELOOP || fd == -ENOTDIR)
        fd = -ENOENT;
    if (fd < 0)
        return fd == -ENOENT && !root_is_there(f->root) ? -EIO : fd;
    if (fstat(fd, &st) < 0)
        r = -errno;
    close(fd);
    if (r == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) {
        ret->st_mode = st.st_mode;
        r = -ENOENT;
    }
    if (r == 0)
        *ret = st;
    return r;
}

int visible_lstat(const struct folder *f, const char *path, struct stat *ret)
{
    int r = look(f, path, ret);

    return *path && volume_away(f, path) ? -ESTALE : r;
}

char *visible_readlink(const struct folder *f, const char *path)
{
    char target[PATH_MAX];
    int fd = path_open_beneath(root_fd(f->root), path, O_PATH | O_NOFOLLOW, 0);
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target) - 1);

    if (fd >= 0)
        close(fd);
    if (n < 0)
        return NULL;
    target[n] = '\0';
    return xstrdup(target);
}
