/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/conflict.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/hash.h"
#include "sync/common/path.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/inherit.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/visible.h"

#define STEM_MAX  140 /* bytes of the first name that the copy's keeps */
#define EXT_MAX   32
#define TRIES_MAX 10000

/* `len`, or a little less: where in a UTF-8 name (RFC 3629: at most 4 bytes a character) no character
 * goes on. Some filesystems take no other names. */
static size_t whole_characters(const char *name, size_t len)
{
    size_t cut = len;

    while (cut > 0 && len - cut < 4 && ((unsigned char)name[cut] & 0xc0) == 0x80)
        cut--;
    return cut;
}

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
        stem = whole_characters(base, STEM_MAX);
    if (gmtime_r(&at, &tm))
        strftime(when, sizeof(when), "%Y-%m-%d %H%M%S", &tm);
    if (i > 1)
        snprintf(count, sizeof(count), " %d", i);
    return xasprintf("%.*s (conflict %s %s%s)%s", (int)stem, base, who, when, count, ext);
}

static bool has_content(int fd, const struct hash *want, int64_t size)
{
    struct hash got;
    struct stat st;
    bool same = fd >= 0 && fstat(fd, &st) == 0 && st.st_size == size &&
                hash_fd(fd, &got, NULL) == 0 && hash_eq(&got, want);

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
                       like.content, like.size);
}

/* The same for a path in the served tree. */
static bool is_there(const struct folder *f, const char *path, struct conflict_like like)
{
    int dir = staging_open_parent(f, path);
    bool yes = dir >= 0 && is_like(dir, path_base(path), like);

    if (dir >= 0)
        close(dir);
    return yes;
}

/* A name beside `path` where nothing is, or a folder. */
static char *folder_beside(const struct folder *f, const char *path, const char *who, int64_t mtime)
{
    char *dir = path_parent(path), *ret = NULL;
    struct stat st;

    for (int i = 1; !ret && i < TRIES_MAX; i++) {
        char *name = copy_name(path_base(path), who, mtime, i);

        ret = path_join(dir, name);
        free(name);
        if (visible_lstat(f, ret, &st) == 0 && !S_ISDIR(st.st_mode)) {
            free(ret);
            ret = NULL;
        }
    }
    free(dir);
    return ret;
}

/* `path`, or NULL when all of its first `len` bytes are folders or not there. */
static char *way_round(const struct folder *f, const char *path, size_t len, const char *who)
{
    char *now = xstrdup(path), *top, *beside, *next;
    bool moved = false;
    size_t end = 0;
    struct stat st;

    while (end < len) {
        end += strcspn(now + end + (end > 0), "/") + (end > 0);
        top = xasprintf("%.*s", (int)end, now);
        if (visible_lstat(f, top, &st) == 0 && !S_ISDIR(st.st_mode) &&
            (beside = folder_beside(f, top, who, file_mtime_ns(&st)))) {
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

char *conflict_dir(const struct folder *f, const char *path, const char *who)
{
    return way_round(f, path, strlen(path), who);
}

char *conflict_path(const struct folder *f, const char *path, const char *who, int64_t mtime,
                    struct conflict_like like, bool *there)
{
    char *way = way_round(f, path, path_parent_len(path), who), *dir, *ret;
    struct stat st;

    *there = false;
    if (way) {
        if (visible_lstat(f, way, &st) != 0)
            return way;
        *there = is_there(f, way, like);
        if (*there)
            return way;
        path = way;
    }
    dir = path_parent(path);
    for (int i = 1;; i++) {
        char *name = copy_name(path_base(path), who, mtime, i);

        ret = path_join(dir, name);
        free(name);
        if (i >= TRIES_MAX || visible_lstat(f, ret, &st) != 0)
            break;
        *there = is_there(f, ret, like);
        if (*there)
            break;
        free(ret);
    }
    free(dir);
    free(way);
    return ret;
}

/* What a kill left on its way to its name. */
static int remove_staged(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d)
        return -errno;
    while ((e = readdir(d)))
        if (staging_is_name(e->d_name))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return 0;
}

bool conflict_is_blocked(const struct folder *f, const char *path)
{
    size_t len = path_parent_len(path);
    bool blocked = false;
    struct stat st;

    for (size_t end = 0; end < len && !blocked; end++) {
        end += strcspn(path + end, "/");
        char *top = xasprintf("%.*s", (int)end, path);

        blocked = visible_lstat(f, top, &st) == 0 && !S_ISDIR(st.st_mode);
        free(top);
    }
    return blocked;
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
    else if (remove_staged(dir) < 0)
        r = err_sys(e, errno, "cannot list the folder of --conflicts '%s'", dir);
    free(real);
    free(real_root);
    return r;
}

/* Gives the file its attributes, durably. `like`: the one that it is a conflict copy of, or -1. */
static int finish(int fd, int like, int dir, mode_t mode, int64_t mtime)
{
    struct timespec times[2] = {{0, UTIME_NOW}, file_timespec(mtime)};
    int r = inherit_file(fd, like, dir);

    if (r == 0 && (fchmod(fd, mode) < 0 || futimens(fd, times) < 0 || fsync(fd) < 0))
        r = -errno;
    return r;
}

/* The same for staging file `tmp` and the file at `path`. */
static int finish_staged(const struct folder *f, const char *tmp, const char *path, int dir,
                         mode_t mode, int64_t mtime)
{
    int fd = openat(root_staging_fd(f->root), tmp, O_RDWR | O_CLOEXEC | O_NOFOLLOW), like, r;

    if (fd < 0)
        return -errno;
    like = path_open_beneath(root_fd(f->root), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    r = finish(fd, like, dir, mode, mtime);
    if (like >= 0)
        close(like);
    close(fd);
    return r;
}

/* -EEXIST when the name is taken. */
static int rename_durably(const struct folder *f, const char *tmp, int dir, const char *name)
{
    int r = file_rename_new(root_staging_fd(f->root), tmp, dir, name);

    return r < 0 ? r : file_sync_dir(dir);
}

static int link_durably(const char *target, int dir, const char *name)
{
    return symlinkat(target, dir, name) < 0 ? -errno : file_sync_dir(dir);
}

int conflict_outside(struct folder *f, const char *tmp, const char *path, const char *who,
                     mode_t mode, int64_t mtime, struct conflict_like like, char **ret)
{
    char *parent = path_parent(path), *folder = xasprintf("%s/%s", f->conflicts, parent);
    int r = file_mkdirs(folder, 0750), dir = -1;
    char *name = NULL;

    if (r == 0)
        r = dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = r == -1 ? -errno : r < 0 ? r : 0;
    if (r == 0 && tmp)
        r = finish_staged(f, tmp, path, dir, mode, mtime);
    if (r == 0)
        r = -EEXIST;
    for (int i = 1; r == -EEXIST && i < TRIES_MAX; i++) {
        free(name);
        name = copy_name(path_base(path), who, mtime, i);
        r = tmp ? rename_durably(f, tmp, dir, name) : link_durably(like.target, dir, name);
        if (r == -EEXIST && is_like(dir, name, like))
            r = 0;
    }
    crash_point("master.conflict.outside");
    if (r == 0)
        r = file_sync_parent(folder);
    if (r == 0)
        *ret = xasprintf("%s%s%s/%s", f->conflicts, *parent ? "/" : "", parent, name);
    if (dir >= 0)
        close(dir);
    free(name);
    free(folder);
    free(parent);
    return r;
}
