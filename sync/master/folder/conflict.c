/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/conflict.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/folder/inherit.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/visible.h"

#define STEM_MAX  140 /* bytes of the first name that the copy's keeps */
#define EXT_MAX   32
#define TRIES_MAX 10000

/* The i-th name for a copy of `base`; malloc'd. */
static char *copy_name(const char *base, const char *who, int64_t mtime, int i)
{
    const char *cut = strstr(base, " (conflict "), *dot = strrchr(base, '.');
    size_t stem =
        dot && dot != base && strlen(dot) <= EXT_MAX ? (size_t)(dot - base) : strlen(base);
    const char *ext = base + stem;
    time_t at = file_timespec(mtime).tv_sec;
    char when[32] = "", count[16] = "";
    struct tm tm;

    if (cut && cut != base && cut < ext) /* a copy of a copy is named as a copy of the first */
        stem = (size_t)(cut - base);
    if (stem > STEM_MAX)
        stem = STEM_MAX;
    if (gmtime_r(&at, &tm))
        strftime(when, sizeof(when), "%Y-%m-%d %H%M%S", &tm);
    if (i > 1)
        snprintf(count, sizeof(count), " %d", i);
    return xasprintf("%.*s (conflict %s %s%s)%s", (int)stem, base, who, when, count, ext);
}

static bool has_content(int fd, const struct hash *want)
{
    struct hash got;
    bool same = fd >= 0 && hash_fd(fd, &got, NULL) == 0 && hash_eq(&got, want);

    if (fd >= 0)
        close(fd);
    return same;
}

static bool has_target(int dir, const char *name, const char *want)
{
    char got[PATH_MAX];
    ssize_t n = readlinkat(dir, name, got, sizeof(got) - 1);

    got[n < 0 ? 0 : n] = '\0';
    return n > 0 && strcmp(got, want) == 0;
}

static bool is_like(int dir, const char *name, struct conflict_like like)
{
    if (like.target)
        return has_target(dir, name, like.target);
    return like.content &&
           has_content(openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
                       like.content);
}

/* The same for a path in the served tree. */
static bool is_there(const struct master *m, const char *path, struct conflict_like like)
{
    int dir = place_open_parent(m, path);
    bool yes = dir >= 0 && is_like(dir, path_base(path), like);

    if (dir >= 0)
        close(dir);
    return yes;
}

/* A name beside `path` where nothing is, or a folder. */
static char *folder_beside(const struct master *m, const char *path, const char *who, int64_t mtime)
{
    char *dir = path_parent(path), *ret = NULL;
    struct stat st;

    for (int i = 1; !ret && i < TRIES_MAX; i++) {
        char *name = copy_name(path_base(path), who, mtime, i);

        ret = path_join(dir, name);
        free(name);
        if (visible_lstat(m, ret, &st) == 0 && !S_ISDIR(st.st_mode)) {
            free(ret);
            ret = NULL;
        }
    }
    free(dir);
    return ret;
}

/* `path`, or NULL when all of its first `len` bytes are folders or not there. */
static char *way_round(const struct master *m, const char *path, size_t len, const char *who)
{
    char *now = xstrdup(path), *top, *beside, *next;
    bool moved = false;
    size_t end = 0;
    struct stat st;

    while (end < len) {
        end += strcspn(now + end + (end > 0), "/") + (end > 0);
        top = xasprintf("%.*s", (int)end, now);
        if (visible_lstat(m, top, &st) == 0 && !S_ISDIR(st.st_mode) &&
            (beside = folder_beside(m, top, who, file_mtime_ns(&st)))) {
            next = xasprintf("%s%s", beside, now + end);
            len += strlen(next) - strlen(now);
            end = strlen(beside);
            free(beside);
            free(now);
            now = next;
            moved = true;
        }
        free(top);
    }
    if (moved)
        return now;
    free(now);
    return NULL;
}

char *conflict_dir(const struct master *m, const char *path, const char *who)
{
    return way_round(m, path, strlen(path), who);
}

char *conflict_path(const struct master *m, const char *path, const char *who, int64_t mtime,
                    struct conflict_like like, bool *there)
{
    char *way = way_round(m, path, path_parent_len(path), who), *dir, *ret;
    struct stat st;

    *there = false;
    if (way) {
        if (visible_lstat(m, way, &st) != 0)
            return way;
        *there = is_there(m, way, like);
        if (*there)
            return way;
        path = way;
    }
    dir = path_parent(path);
    for (int i = 1;; i++) {
        char *name = copy_name(path_base(path), who, mtime, i);

        ret = path_join(dir, name);
        free(name);
        if (i >= TRIES_MAX || visible_lstat(m, ret, &st) != 0)
            break;
        *there = is_there(m, ret, like);
        if (*there)
            break;
        free(ret);
    }
    free(dir);
    free(way);
    return ret;
}

int conflict_folder(const char *dir, const char *root, struct err *e)
{
    char *real = NULL, *real_root = NULL;
    int r = file_mkdirs(dir, 0750);

    if (r < 0)
        return err_sys(e, -r, "cannot create the folder of --conflicts '%s'", dir);
    real = realpath(dir, NULL);
    real_root = realpath(root, NULL);
    if (real && real_root && path_is_under(real, real_root))
        r = err_set(e, EINVAL, "--conflicts '%s' lies in the served folder '%s'; choose another",
                    dir, root);
    else if (access(dir, W_OK | X_OK) < 0)
        r = err_sys(e, errno, "cannot write into the folder of --conflicts '%s'", dir);
    free(real);
    free(real_root);
    return r;
}

/* Copies `from` to a new file dir/name of its own; -EEXIST when the name is taken. */
/* `like`: the file that it is a conflict copy of, or -1. */
static int copy_durably(int from, int like, int dir, const char *name, mode_t mode, int64_t mtime)
{
    struct timespec times[2] = {{0, UTIME_NOW}, file_timespec(mtime)};
    char tmp[PLACE_NAME_CAP];
    int fd, r;

    place_name(tmp);
    fd = openat(dir, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    r = file_copy(from, fd);
    if (r == 0)
        r = inherit_file(fd, like, dir);
    if (r == 0 && (fchmod(fd, mode) < 0 || futimens(fd, times) < 0 || fsync(fd) < 0))
        r = -errno;
    close(fd);
    if (r == 0)
        r = file_rename_new(dir, tmp, dir, name);
    if (r < 0)
        unlinkat(dir, tmp, 0);
    return r < 0 ? r : file_sync_dir(dir);
}

static int link_durably(const char *target, int dir, const char *name)
{
    return symlinkat(target, dir, name) < 0 ? -errno : file_sync_dir(dir);
}

int conflict_outside(struct master *m, int from, const char *path, const char *who, mode_t mode,
                     int64_t mtime, struct conflict_like like, char **ret)
{
    char *parent = path_parent(path), *folder = xasprintf("%s/%s", m->conflicts, parent);
    int r = file_mkdirs(folder, 0750), dir = -1;
    int original = path_open_beneath(root_fd(m->root), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    char *name = NULL;

    if (r == 0)
        r = dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = r == -1 ? -errno : r < 0 ? r : -EEXIST;
    for (int i = 1; r == -EEXIST && i < TRIES_MAX; i++) {
        free(name);
        name = copy_name(path_base(path), who, mtime, i);
        r = like.target ? link_durably(like.target, dir, name)
                        : copy_durably(from, original, dir, name, mode, mtime);
        if (r == -EEXIST && is_like(dir, name, like))
            r = 0;
    }
    if (r == 0)
        r = file_sync_parent(folder);
    if (r == 0)
        *ret = xasprintf("%s%s%s/%s", m->conflicts, *parent ? "/" : "", parent, name);
    if (dir >= 0)
        close(dir);
    if (original >= 0)
        close(original);
    free(name);
    free(folder);
    free(parent);
    return r;
}
