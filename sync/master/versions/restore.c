/* SPDX-License-Identifier: MIT */
#include "sync/master/versions/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/commit/committer.h"
#include "sync/master/db/history.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/kept.h"
#include "sync/master/folder/install.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/volume.h"
#include "sync/master/db/readers.h"
#include "sync/master/publish/publish.h"
#include "sync/master/folder/visible.h"

struct restoring {
    const char *path;
    struct version v;
    char tmp[STAGING_NAME_CAP]; /* its content in staging */
    int64_t seq;                /* of the new change */
    int error;                  /* of the filesystem */
};

static bool any_path(void *arg, const char *path)
{
    (void)path;
    return arg == NULL;
}

/* From the store, or where it is in the folder; verified. Synced here, so that the committer need
 * not wait for it. */
static int stage(struct master *m, struct db *db, struct restoring *x)
{
    struct row row = {0};
    char path[KEPT_PATH_CAP];
    int fd, r;

    staging_name(x->tmp);
    kept_path(&x->v.hash, path);
    r = staging_copy(m->folder, x->tmp, root_private_fd(m->folder->root), path, &x->v.hash);
    if (r == -ENOENT && kept_has(m->folder, &x->v.hash))
        kept_damaged(m->folder->kept, &x->v.hash, x->v.size);
    if (r == -ENOENT && tree_find_hash(db, &x->v.hash, any_path, NULL, &row) == 1)
        r = staging_copy(m->folder, x->tmp, root_fd(m->folder->root), row.e.path, &x->v.hash);
    row_release(&row);
    fd = r < 0
             ? -1
             : openat(root_staging_fd(m->folder->root), x->tmp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        r = fsync(fd) < 0 ? -errno : 0;
        close(fd);
    }
    return r;
}

/* Committer's thread. 0 or an error of the database; x->error of the filesystem. */
static int commit_restore(struct master *m, void *arg)
{
    struct restoring *x = arg;
    struct row row = {0};
    struct stat st;
    int r = tree_get(m->tree->db, x->path, &row), there;

    if (r < 0)
        return r;
    there = visible_lstat(m->folder, x->path, &st);
    if (there == 0 && S_ISDIR(st.st_mode))
        x->error = -EISDIR;
    else if (there == 0 ? !row_matches(&row, &st) : there != -ENOENT)
        x->error = there < 0 && there != -ENOENT ? there : -EAGAIN;
    if (there == -ENOENT)
        row.e.type = ENTRY_GONE;
    if (x->error == 0)
        x->error = install_parents(m->folder, x->path);
    if (x->error == 0)
        x->error = volume_enter(m->folder, x->path);
    if (x->error == 0)
        x->error = install_file(m->folder, x->tmp, x->path, &row,
                                &(struct install_attr){x->v.mode & 0777, 0, clock_wall_ns(), NULL},
                                &x->v.hash, &st);
    if (x->error < 0)
        staging_discard(m->folder, x->tmp);
    volume_leave(m->folder);
    row_release(&row);
    if (x->error < 0)
        return 0;
    r = publish(m, x->path, &st, &x->v.hash, NULL, clock_wall_ns(), NULL);
    x->seq = m->tree->seq;
    return r;
}

static int explain(const char *path, int code, struct err *e)
{
    switch (-code) {
    case EISDIR:
        return err_set(e, EISDIR,
                       "cannot restore '%s': there is a folder of that name now; rename "
                       "it first",
                       path);
    case ENOTDIR:
        return err_set(e, ENOTDIR,
                       "cannot restore '%s': there is a file where one of its folders "
                       "was; rename it first",
                       path);
    case EBUSY:
        return err_set(e, EBUSY,
                       "cannot restore '%s': a program has the file open for writing; try "
                       "again when it is closed",
                       path);
    case EAGAIN:
        return err_set(e, EAGAIN,
                       "cannot restore '%s': the file has changed just now; look at its "
                       "history and try again",
                       path);
    case ENODEV:
        return err_set(e, ENODEV, "cannot restore '%s': the master's folder is away", path);
    default:
        return err_sys(e, -code, "cannot restore '%s'", path);
    }
}

static int find(struct master *m, struct db *db, struct restoring *x, int64_t seq, struct err *e)
{
    struct row row = {0};
    int r = history_get(db, x->path, seq, &x->v);

    if (r == 1)
        return 0;
    if (r == 0)
        r = tree_get(db, x->path, &row);
    if (r < 0)
        err_sys(e, -r, "cannot read '%s'", m->db_path);
    else if (r == 1 && row.e.type == ENTRY_FILE && row.e.seq == seq)
        r = err_set(e, EEXIST, "'%s@%lld' is the current version", x->path, (long long)seq);
    else
        r = err_set(e, ENOENT,
                    "there is no version %lld of '%s'; 'eefs-master history' lists the versions",
                    (long long)seq, x->path);
    row_release(&row);
    return r;
}

int restore_version(struct master *m, const char *path, int64_t seq, int64_t *ret_seq,
                    struct err *e)
{
    struct db *db;
    struct restoring x = {.path = path};
    int r;

    if (path_check(path) < 0 || !*path || visible_hides(m->folder, path))
        return err_set(e, EINVAL, "'%s' is not the path of a shared file, relative to the folder",
                       path);
    db = readers_get(m->readers);
    if (!db)
        return err_set(e, EIO, "cannot read '%s'", m->db_path);
    r = find(m, db, &x, seq, e);
    if (r == 0) {
        r = volume_enter(m->folder, path);
        if (r == 0)
            r = stage(m, db, &x);
        if (r == -ENOENT)
            r = err_set(e, ENOENT,
                        "the content of '%s@%lld' is not kept: it was too large, too old, beyond "
                        "the number or space of kept versions, or replaced before it was kept",
                        path, (long long)seq);
        else if (r < 0)
            r = explain(path, r, e);
    }
    readers_put(m->readers, db);
    if (r < 0) {
        volume_leave(m->folder);
        return r;
    }
    r = committer_call(m->committer, commit_restore, &x);
    staging_discard(m->folder, x.tmp);
    volume_leave(m->folder);
    if (r == 0)
        r = x.error;
    if (r == -EEXIST)
        r = -EAGAIN;
    if (r == -EAGAIN)
        scan_queue_push(m->folder->scan_queue, path, 0, 0);
    if (r < 0)
        return explain(path, r, e);
    *ret_seq = x.seq;
    return 0;
}
