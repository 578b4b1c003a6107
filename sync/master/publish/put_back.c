/* SPDX-License-Identifier: MIT */
#include "sync/master/publish/put_back.h"

#include <stdio.h>
#include <stdlib.h>

#include "sync/common/log.h"
#include "sync/master/db/meta.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/root.h"
#include "sync/master/publish/delete_guard.h"

#define SCANS 1 /* the one that a start begins with */

static int record(struct master *m, const char *why)
{
    int r = tree_begin(m->tree);

    if (r == 0)
        r = tree_void_timelines(m->tree->db, m->timeline);
    if (r == 0)
        r = meta_set_int(m->tree->db, META_PUT_BACK, m->tree->seq);
    if (r == 0)
        r = meta_set_text(m->tree->db, DELETE_GUARD_HOLD, why);
    if (r == 0)
        r = tree_commit(m->tree);
    else
        tree_rollback(m->tree);
    return r == 0 ? db_sync(m->tree->db) : r;
}

int put_back_begin(struct master *m, struct err *e)
{
    bool was = root_was_put_back(m->folder->root);
    char why[256], *earlier = NULL;
    int r = 0;

    if (was) {
        snprintf(why, sizeof(why), "the folder '%.200s' was put back to an earlier state",
                 root_path(m->folder->root));
        log_warn("%s: what is missing in it is held, and mirrors keep what differs", why);
        r = record(m, why);
    }
    if (r == 0)
        r = meta_get_text(m->tree->db, DELETE_GUARD_HOLD, &earlier);
    if (r == 1)
        delete_guard_hold(m->delete_guard, earlier, SCANS);
    free(earlier);
    if (r < 0)
        db_error(m->tree->db, e, "cannot record that the folder was put back");
    return r < 0 ? r : was;
}
