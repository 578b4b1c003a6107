/* SPDX-License-Identifier: MIT */
#include "sync/master/scan/find_renamed.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/path.h"
#include "sync/master/commit/committer.h"
#include "sync/master/folder/fstype.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/visible.h"
#include "sync/master/db/renames.h"
#include "sync/master/publish/publish.h"
#include "sync/master/publish/rename_rows.h"
#include "sync/master/publish/renamed.h"

#define RACY_NS 2000000000LL

static bool keeps_its_inode(struct master *m, const char *path)
{
    int fd = path_open_beneath(root_fd(m->root), path, O_PATH | O_NOFOLLOW, 0);
    bool keeps = fd >= 0 && fstype_keeps_inodes(fd);

    if (fd >= 0)
        close(fd);
    return keeps;
}

struct folder_move {
    const char *path, *from;
};

/* Committer's thread: looks again, then moves. */
static int commit_folder(struct master *m, void *arg)
{
    const struct folder_move *f = arg;
    struct row from = {0}, to = {0};
    struct stat st, old;
    int r = tree_get(m->tree->db, f->from, &from);

    if (r >= 0)
        r = tree_get(m->tree->db, f->path, &to);
    if (r >= 0 && from.e.type == ENTRY_DIR && to.e.type == ENTRY_GONE &&
        visible_lstat(m, f->path, &st) == 0 && S_ISDIR(st.st_mode) &&
        (int64_t)st.st_ino == from.ino && !renamed_born_after(m, f->path, &from) &&
        visible_lstat(m, f->from, &old) == -ENOENT) {
        r = rename_rows_move(m, f->from, f->path, NULL, true);
        if (r == 0)
            r = publish(m, f->path, &st, NULL, NULL, 0, f->from);
        if (r == 0)
            r = renames_add(m->tree->db, m->tree->seq, f->from, f->path, NULL);
    }
    row_release(&from);
    row_release(&to);
    return r < 0 ? r : 0;
}

void find_renamed_folder(struct master *m, struct db *db, const char *path, const struct stat *st)
{
    struct row from = {0};
    struct folder_move f = {path, NULL};

    if (renamed_origin(m, db, path, st, &from) == 1 && keeps_its_inode(m, path)) {
        f.from = from.e.path;
        committer_call(m->committer, commit_folder, &f);
    }
    row_release(&from);
}

bool find_renamed_file(struct master *m, struct db *db, const char *path, const struct stat *st,
                       bool told)
{
    struct row from = {0};
    struct observation *o;
    bool same, known = renamed_origin(m, db, path, st, &from) == 1;

    same = known && from.ctime == file_ctime_ns(st) && from.e.mode == (st->st_mode & 07777);
    /* A write near the time of reading may have left all times as they were. */
    known = known && (same || told) && !file_time_near(from.seen, from.e.mtime, RACY_NS) &&
            from.seen - from.ctime > RACY_NS && keeps_its_inode(m, path);
    if (known) {
        o = xcalloc(1, sizeof(*o));
        o->path = xstrdup(path);
        o->st = *st;
        o->hash = from.e.hash;
        o->seen = from.seen;
        o->unverified = !same;
        committer_observe(m->committer, o);
        if (!same)
            scan_queue_push(m->scan_queue, path, SCAN_FORCE, 0);
    }
    row_release(&from);
    return known;
}
