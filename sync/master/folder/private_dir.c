/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/private_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/master/folder/root.h"

#define NAMED ROOT_HIDDEN "/store"
#define OWNER "master" /* in the folder of --store: the master's id */

static int check_owner(const char *store, int fd, const char *id, struct err *e)
{
    struct buf b = BUF_INIT;
    int r = file_slurp(fd, OWNER, 4096, &b);

    if (r == 0 && b.data && strcspn(b.data, "\n") == strlen(id) &&
        strncmp(b.data, id, strlen(id)) != 0)
        r = err_set(e, EBUSY,
                    "the folder of --store '%s' belongs to another master (%.32s); choose another",
                    store, b.data);
    else
        r = file_replace(fd, OWNER, id, strlen(id), 0600, true);
    buf_release(&b);
    return r;
}

static int check_place(const char *store, const char *root, int fd, struct err *e)
{
    char *real = realpath(store, NULL), *real_root = realpath(root, NULL);
    struct stat here, there;
    int r = 0;

    if (real && real_root && path_is_under(real, real_root))
        r = err_set(e, EINVAL, "--store '%s' lies in the served folder '%s'; choose another", store,
                    root);
    else if (real_root && fstat(fd, &here) == 0 && stat(real_root, &there) == 0 &&
             here.st_dev != there.st_dev)
        r = err_set(e, EXDEV,
                    "--store '%s' lies on another filesystem than '%s': files could not be moved "
                    "from one to the other; choose a folder beside it",
                    store, root);
    free(real);
    free(real_root);
    return r;
}

int private_dir_check(const char *store, const char *root, const char *id, struct err *e)
{
    int fd = -1, r = file_mkdirs(store, 0700);

    if (r < 0)
        return err_sys(e, -r, "cannot create the folder of --store '%s'", store);
    fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "cannot open the folder of --store '%s'", store);
    r = check_place(store, root, fd, e);
    if (r == 0 && fchmod(fd, 0700) < 0)
        r = err_sys(e, errno, "cannot make the folder of --store '%s' private", store);
    if (r == 0)
        r = check_owner(store, fd, id, e);
    if (r < 0 && !*e->text)
        err_sys(e, -r, "cannot write into the folder of --store '%s'", store);
    close(fd);
    return r;
}

/* Moves from/name to to/name, and merges folders that exist there. */
static int move_tree(int from, int to, const char *name)
{
    int below_from = -1, below_to = -1, r = 0;
    struct dirent *de;
    DIR *d = NULL;

    if (renameat(from, name, to, name) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return errno == ENOENT ? 0 : -errno;
    below_from = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    below_to = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below_from >= 0 && below_to >= 0)
        d = fdopendir(below_from);
    if (!d) {
        r = -errno;
        if (below_from >= 0)
            close(below_from);
    }
    while (r == 0 && d && (de = readdir(d)))
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            r = move_tree(below_from, below_to, de->d_name);
    if (r == 0 && unlinkat(from, name, AT_REMOVEDIR) < 0)
        r = -errno;
    if (d)
        closedir(d);
    if (below_to >= 0)
        close(below_to);
    return r;
}

/* Where it was until now: malloc'd, or NULL: in the served folder. */
static char *named_before(int root)
{
    struct buf b = BUF_INIT;
    char *ret = NULL;

    if (file_slurp(root, NAMED, EEFS_PATH_MAX, &b) == 0 && b.len > 0) {
        b.data[strcspn(b.data, "\n")] = '\0';
        ret = *b.data == '/' ? xstrdup(b.data) : NULL;
    }
    buf_release(&b);
    return ret;
}

static int open_dir(int root, const char *store)
{
    int fd;

    if (!store && mkdirat(root, ROOT_HIDDEN, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = store ? open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
               : openat(root, ROOT_HIDDEN, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int name_it(int root, const char *store)
{
    if (store)
        return file_replace(root, NAMED, store, strlen(store), 0600, true);
    return unlinkat(root, NAMED, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int move_all(int root, const char *before, const char *store, int to)
{
    int from = open_dir(root, before), r;

    if (from == -ENOENT) {
        log_warn("'%s' is gone: the kept versions and unfinished uploads in it are lost", before);
        return name_it(root, store);
    }
    r = from < 0 ? from : move_tree(from, to, "staging");
    if (r == 0)
        r = move_tree(from, to, "kept");
    if (from >= 0)
        close(from);
    if (r < 0) {
        log_error("cannot move '%s' to '%s': %s", before ? before : ROOT_HIDDEN,
                  store ? store : ROOT_HIDDEN, strerror(-r));
        return r;
    }
    return name_it(root, store);
}

int private_dir_open(int root, const char *store)
{
    char *before = named_before(root);
    bool same = before ? store && strcmp(before, store) == 0 : !store;
    int fd = open_dir(root, store), r = fd < 0 || same ? 0 : move_all(root, before, store, fd);

    free(before);
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}
