/* SPDX-License-Identifier: MIT */
#include "sync/master/publish/renamed.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/db/renames.h"
#include "sync/master/folder/departures.h"
#include "sync/master/folder/fstype.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/visible.h"
#include "sync/master/publish/publish.h"
#include "sync/master/publish/rename_rows.h"

bool renamed_born_after(const struct master *m, const char *path, const struct row *row)
{
    struct statx sx = {0};
    int fd = path_open_beneath(root_fd(m->folder->root), path, O_PATH | O_NOFOLLOW, 0);
    bool known = fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &sx) == 0 &&
                 (sx.stx_mask & STATX_BTIME);

    if (fd >= 0)
        close(fd);
    return known && row->ctime != 0 &&
           sx.stx_btime.tv_sec * 1000000000LL + sx.stx_btime.tv_nsec > row->ctime;
}

struct origin {
    struct master *m;
    const char *path;
    const struct stat *st;
};

static bool is_origin(void *arg, const struct row *row)
{
    const struct origin *o = arg;
    struct stat now;
    bool same;

    if (strcmp(row->e.path, o->path) == 0)
        return false;
    same = S_ISDIR(o->st->st_mode) ? row->e.type == ENTRY_DIR
                                   : row->e.type == ENTRY_FILE && row->e.size == o->st->st_size &&
                                         row->e.mtime == file_mtime_ns(o->st);
    /* A second name of a file that is still there is no rename. */
    return same &&
           (visible_lstat(o->m->folder, row->e.path, &now) == -ENOENT ||
            now.st_ino != o->st->st_ino) &&
           !renamed_born_after(o->m, o->path, row);
}

int renamed_origin(struct master *m, struct db *db, const char *path, const struct stat *st,
                   struct row *ret)
{
    struct origin o = {m, path, st};

    return tree_find_inode(db, (int64_t)st->st_ino, is_origin, &o, ret);
}

bool renamed_keeps_inode(const struct master *m, const char *path)
{
    int fd = path_open_beneath(root_fd(m->folder->root), path, O_PATH | O_NOFOLLOW, 0);
    bool keeps = fd >= 0 && fstype_keeps_inodes(fd);

    if (fd >= 0)
        close(fd);
    return keeps;
}

/* 1: the file `was` is at `to` now, where it is published with the content that it had; it is read
 * again later. 0: not so. */
static int renamed_file(struct master *m, const struct row *was, const char *to)
{
    struct stat st;
    int r;

    if (visible_lstat(m->folder, to, &st) < 0 || !S_ISREG(st.st_mode) ||
        (int64_t)st.st_ino != was->ino || st.st_size != was->e.size ||
        file_mtime_ns(&st) != was->e.mtime || renamed_born_after(m, to, was) ||
        !renamed_keeps_inode(m, to))
        return 0;
    memset(&st.st_ctim, 0, sizeof(st.st_ctim)); /* no look at the file finds that it matches */
    r = publish(m, to, &st, &was->e.hash, NULL, was->seen, was->e.path);
    if (r == 0)
        r = tree_remove(m->tree, was->e.path);
    scan_queue_push(m->folder->scan_queue, to, SCAN_FORCE, 0);
    return r < 0 ? r : 1;
}

int renamed_departed(struct master *m, const struct row *was)
{
    struct strlist now = {0};
    int r = 0;

    departures_of(m->departures, was->e.path, DEPARTURES_MS, &now);
    for (size_t i = 0; r == 0 && i < now.n; i++)
        r = renamed_file(m, was, now.v[i]);
    strlist_release(&now);
    return r < 0 ? r : 0;
}

static int move_folder(struct master *m, const char *from, const char *to, const struct stat *st)
{
    struct lost_files lost = {0};
    int r = rename_rows_move(m, from, to, NULL, &lost);

    if (r == 0)
        r = publish(m, to, st, NULL, NULL, 0, from);
    if (r == 0)
        r = renames_add(m->tree->db, m->tree->seq, from, to, NULL);
    for (size_t i = 0; r == 0 && i < lost.n; i++) /* they have other names, too */
        r = renamed_departed(m, &lost.v[i]);
    lost_files_release(&lost);
    scan_queue_push(m->folder->scan_queue, from, SCAN_DEEP, 0);
    return r < 0 ? r : 1;
}

int renamed_folder(struct master *m, const char *from, const char *to)
{
    struct row was = {0}, now = {0};
    struct stat st, old;
    int r = tree_get(m->tree->db, from, &was), there;

    if (r >= 0)
        r = tree_get(m->tree->db, to, &now);
    if (r >= 0) {
        there = visible_lstat(m->folder, from, &old);
        r = was.e.type == ENTRY_DIR && now.e.type == ENTRY_GONE &&
                    visible_lstat(m->folder, to, &st) == 0 && S_ISDIR(st.st_mode) &&
                    (int64_t)st.st_ino == was.ino && !renamed_born_after(m, to, &was) &&
                    renamed_keeps_inode(m, to) &&
                    (there == -ENOENT || (there == 0 && old.st_ino != st.st_ino))
                ? move_folder(m, from, to, &st)
                : 0;
    }
    row_release(&was);
    row_release(&now);
    return r;
}

int renamed_publish(struct master *m, const struct observation *o)
{
    struct row from = {0};
    struct stat st = o->st, old;
    int r = S_ISREG(st.st_mode) ? renamed_origin(m, m->tree->db, o->path, &st, &from) : 0;
    bool moved = r == 1 && hash_eq(&from.e.hash, &o->hash);

    if (o->unverified) /* no look at the file finds that it matches its row */
        memset(&st.st_ctim, 0, sizeof(st.st_ctim));
    if (r >= 0)
        r = publish(m, o->path, &st, &o->hash, o->target, o->seen, moved ? from.e.path : NULL);
    if (r == 0 && moved && visible_lstat(m->folder, from.e.path, &old) == -ENOENT)
        r = tree_remove(m->tree, from.e.path);
    row_release(&from);
    return r < 0 ? r : 0;
}
