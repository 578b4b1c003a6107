/* SPDX-License-Identifier: MIT */
#include "sync/master/publish/observe.h"

#include <errno.h>
#include <stdlib.h>

#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/scan_queue.h"
#include "sync/master/folder/visible.h"
#include "sync/master/folder/volume.h"
#include "sync/master/publish/delete_guard.h"
#include "sync/master/publish/publish.h"
#include "sync/master/publish/renamed.h"

void observation_free(struct observation *o)
{
    if (!o)
        return;
    free(o->path);
    free(o->target);
    free(o);
}

int observe(struct master *m, struct observation *o)
{
    struct stat now;
    struct row was = {0};
    bool same;
    int r = visible_lstat(m->folder, o->path, &now);

    if (r < 0 && r != -ENOENT) {
        if (!volume_away(m->folder, o->path))
            scan_queue_push(m->folder->scan_queue, o->path, 0, 5000);
        return 0;
    }
    if (o->gone && r == -ENOENT) {
        r = tree_get(m->tree->db, o->path, &was);
        if (r == 1 && was.e.type != ENTRY_GONE)
            delete_guard_add(m->delete_guard, o->path);
        row_release(&was);
        return r < 0 ? r : 0;
    }
    if (o->gone || r == -ENOENT) {
        scan_queue_push(m->folder->scan_queue, o->path, SCAN_DEEP, 0);
        return 0;
    }
    row_from_stat(&was, &o->st);
    if (S_ISDIR(o->st.st_mode)) {
        same = S_ISDIR(now.st_mode) && now.st_ino == o->st.st_ino;
        o->st = now; /* what it is now may be published at any time: it has no content */
    } else {
        same = row_matches(&was, &now);
    }
    if (!same) {
        scan_queue_push(m->folder->scan_queue, o->path, S_ISDIR(now.st_mode) ? SCAN_DEEP : 0, 0);
        return 0;
    }
    if (!S_ISDIR(now.st_mode)) {
        r = tree_has_children(m->tree->db, o->path);
        if (r == 1) /* a folder has become another type: its content is gone */
            delete_guard_add(m->delete_guard, o->path);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    r = renamed_publish(m, o);
    if (r == 0 && o->listed)
        r = publish_hides(m, o->path, o->hides);
    return r;
}
