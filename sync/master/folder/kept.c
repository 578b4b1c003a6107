/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"
#include "sync/common/trouble.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/db/history.h"
#include "sync/master/folder/carry.h"
#include "sync/master/folder/staging.h"

#define AT_ONCE     (1 << 20) /* bytes copied while a mirror waits for its answer: by the carrier */
#define RESERVE_MAX (1LL << 30)

void kept_path(const struct hash *h, char *out)
{
    char text[HASH_TEXT_CAP];

    hash_text(h, text);
    snprintf(out, KEPT_PATH_CAP, "%s/%.2s/%s", KEPT_DIR, text + 3, text);
}

bool kept_room(const struct folder *f, int64_t size)
{
    struct statvfs fs;
    int64_t all, reserve;

    if (fstatvfs(root_own_staging_fd(f->root), &fs) < 0)
        return false;
    all = (int64_t)(fs.f_blocks * fs.f_frsize);
    reserve = all / 10 < RESERVE_MAX ? all / 10 : RESERVE_MAX;
    return (int64_t)(fs.f_bavail * fs.f_frsize) - size >= reserve;
}

bool kept_wants(struct kept *k, const char *path, int64_t size)
{
    if (k->rules.space == 0 || size > k->rules.file || size > k->rules.space ||
        !history_wants(path))
        return false;
    for (size_t i = 0; i < k->rules.except.n; i++)
        if (path_matches(k->rules.except.v[i], path))
            return false;
    return true;
}

bool kept_has(const struct folder *f, const struct hash *h)
{
    char path[KEPT_PATH_CAP];
    struct stat st;

    kept_path(h, path);
    return fstatat(root_private_fd(f->root), path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode);
}

bool kept_lacks(const struct folder *f, const struct hash *h)
{
    char path[KEPT_PATH_CAP];
    struct stat st;

    kept_path(h, path);
    if (fstatat(root_private_fd(f->root), path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return !S_ISREG(st.st_mode);
    return trouble_at(-errno, root_private_fd(f->root), path) == -ENOENT;
}

static int make_folders(const struct folder *f, const char *path)
{
    char *dir = path_parent(path);
    int r = 0;

    if ((mkdirat(root_private_fd(f->root), KEPT_DIR, 0700) < 0 && errno != EEXIST) ||
        (mkdirat(root_private_fd(f->root), dir, 0700) < 0 && errno != EEXIST))
        r = -errno;
    free(dir);
    return r;
}

/* With files_lock: `files` (1 or -1) of `size` bytes. What is in a folder that is not counted yet
 * will be counted with it. */
static void count_locked(struct kept *k, const struct hash *h, int64_t size, int files)
{
    if (!k->counted[h->b[0]])
        return;
    k->bytes += files * size;
    k->files += files;
}

void kept_notes_add(struct kept *k, struct kept_note *notes)
{
    struct kept_note **end = &notes;

    while (*end)
        end = &(*end)->next;
    mutex_lock(&k->lock);
    *end = k->notes;
    k->notes = notes;
    mutex_unlock(&k->lock);
}

struct kept_note *kept_notes_take(struct kept *k)
{
    struct kept_note *notes;

    mutex_lock(&k->lock);
    notes = k->notes;
    k->notes = NULL;
    mutex_unlock(&k->lock);
    return notes;
}

static void note(struct kept *k, const struct hash *h, int64_t size)
{
    struct kept_note *n = xcalloc(1, sizeof(*n));

    n->hash = *h;
    n->size = size;
    kept_notes_add(k, n);
}

/* From the staging `dir` to its place. 0 or -errno. */
static int move_in(struct kept *k, int dir, const char *tmp, const struct hash *h, int64_t size)
{
    int root = root_private_fd(k->folder->root), r;
    char path[KEPT_PATH_CAP];

    kept_path(h, path);
    mutex_lock(&k->files_lock);
    r = file_rename_new(dir, tmp, root, path);
    if (r == -ENOENT) {
        r = make_folders(k->folder, path);
        if (r == 0)
            r = file_rename_new(dir, tmp, root, path);
    }
    if (r == 0)
        count_locked(k, h, size, 1);
    mutex_unlock(&k->files_lock);
    return trouble_at(r, root, path);
}

/* From the staging of another filesystem. */
static int adopt_copy(struct kept *k, const char *tmp, const struct hash *h, int64_t size)
{
    int staging = root_staging_fd(k->folder->root), own = root_own_staging_fd(k->folder->root), r;
    int from = openat(staging, tmp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), to = -1;
    char copy[STAGING_NAME_CAP];

    staging_name(copy);
    if (from >= 0 && kept_room(k->folder, size))
        to = openat(own, copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = to < 0 ? -ENOSPC : file_copy(from, to);
    if (r == 0)
        r = move_in(k, own, copy, h, size);
    if (to >= 0 && r < 0)
        unlinkat(own, copy, 0);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (r == 0)
        staging_discard(k->folder, tmp);
    return r;
}

void kept_adopt(struct kept *k, const char *tmp, const struct hash *h, int64_t size)
{
    int r = move_in(k, root_staging_fd(k->folder->root), tmp, h, size);

    if (r == -EXDEV)
        r = adopt_copy(k, tmp, h, size);
    crash_point("master.keep.adopted");
    if (r == 0)
        note(k, h, size);
    else
        staging_discard(k->folder, tmp);
}

void kept_damaged(struct kept *k, const struct hash *h, int64_t size)
{
    char path[KEPT_PATH_CAP];

    kept_path(h, path);
    log_warn("'%s' is damaged; removed it", path);
    mutex_lock(&k->files_lock);
    if (unlinkat(root_private_fd(k->folder->root), path, 0) == 0)
        count_locked(k, h, size, -1);
    mutex_unlock(&k->files_lock);
}

bool kept_needs_copy(struct kept *k, const char *path, const struct hash *h, int64_t size)
{
    return k->no_clones && size > CARRY_AT_ONCE && size <= AT_ONCE &&
           root_staging_fd(k->folder->root) == root_own_staging_fd(k->folder->root) &&
           kept_wants(k, path, size) && !kept_has(k->folder, h) && kept_room(k->folder, size);
}

/* 0; -errno, left to the keeper. That no clone can be made is found with the first content: that
 * one is copied. */
static int clone_or_copy(struct kept *k, int from, int to, int64_t size)
{
    int64_t most = CARRY_AT_ONCE;

    if (!k->no_clones) {
        if (ioctl(to, FICLONE, from) == 0)
            return 0;
        k->no_clones = errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == EXDEV;
        most = AT_ONCE;
    }
    return size <= most ? file_copy(from, to) : -EFBIG;
}

void kept_staged(struct kept *k, const char *tmp, const char *path, const struct hash *h,
                 int64_t size)
{
    int staging = root_staging_fd(k->folder->root), from, to = -1, r;
    char copy[STAGING_NAME_CAP];

    if (!kept_wants(k, path, size) || kept_has(k->folder, h) || !kept_room(k->folder, size))
        return;
    if (staging != root_own_staging_fd(k->folder->root) && size > CARRY_AT_ONCE)
        return; /* no clone reaches another filesystem */
    staging_name(copy);
    from = openat(staging, tmp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from >= 0)
        to = openat(staging, copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    r = to < 0 ? -errno : 0;
    if (r == 0)
        r = clone_or_copy(k, from, to, size);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (r == 0)
        kept_adopt(k, copy, h, size);
    else if (to >= 0)
        staging_discard(k->folder, copy);
}

json_t *kept_report(struct kept *k)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "files", (json_int_t)k->files,
                     "bytes", (json_int_t)k->bytes, "space", (json_int_t)k->rules.space,
                     "unkept_files", (json_int_t)k->unkept_files, "unkept_bytes",
                     (json_int_t)k->unkept_bytes, "versions", (json_int_t)k->versions,
                     "lost_versions", (json_int_t)k->lost, "unnamed_files",
                     (json_int_t)k->unnamed_files, "unnamed_bytes", (json_int_t)k->unnamed_bytes);
}

struct kept *kept_new(struct folder *f, const struct kept_rules *rules)
{
    struct kept *k = xcalloc(1, sizeof(*k));

    k->folder = f;
    k->rules = *rules;
    mutex_init(&k->files_lock);
    mutex_init(&k->lock);
    return k;
}

void kept_free(struct kept *k)
{
    if (!k)
        return;
    for (struct kept_note *next, *n = k->notes; n; n = next) {
        next = n->next;
        free(n);
    }
    mutex_destroy(&k->lock);
    mutex_destroy(&k->files_lock);
    free(k);
}
