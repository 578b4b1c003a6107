/* SPDX-License-Identifier: MIT */
#include "sync/master/scan/find_renamed.h"

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"
#include "sync/master/commit/committer.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/publish/renamed.h"

#define RACY_NS 2000000000LL

struct folder_move {
    const char *path, *from;
};

static int commit_folder(struct master *m, void *arg)
{
    const struct folder_move *f = arg;
    int r = renamed_folder(m, f->from, f->path);

    return r < 0 ? r : 0;
}

void find_renamed_folder(struct master *m, struct db *db, const char *path, const struct stat *st)
{
    struct row from = {0};
    struct folder_move f = {path, NULL};

    if (renamed_origin(m, db, path, st, &from) == 1) {
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
            from.seen - from.ctime > RACY_NS && renamed_keeps_inode(m, path);
    if (known) {
        o = xcalloc(1, sizeof(*o));
        o->path = xstrdup(path);
        o->st = *st;
        o->hash = from.e.hash;
        o->seen = from.seen;
        o->unverified = !same;
        committer_observe(m->committer, o);
        if (!same)
            scan_queue_push(m->folder->scan_queue, path, SCAN_FORCE, 0);
    }
    row_release(&from);
    return known;
}
