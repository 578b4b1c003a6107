/* SPDX-License-Identifier: MIT */
#include "sync/master/commit/fit.h"

#include <errno.h>
#include <stdio.h>

#include "sync/common/trouble.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/publish/delete_guard.h"

bool fit_database_damaged(void)
{
    char why[512];
    int code = 0;

    return trouble_recent(0, &code, why, sizeof(why)) && code == EUCLEAN;
}

const char *fit_why_not(struct master *m, char *out, size_t cap)
{
    if (!root_ok(m->folder->root, out, cap) || delete_guard_emptied(m->delete_guard, out, cap))
        return out;
    if (m->stopping)
        snprintf(out, cap, "the master is stopping");
    else if (fit_database_damaged())
        snprintf(out, cap, "the master's database is damaged");
    else if (!m->scanned)
        snprintf(out, cap, "the master is scanning its folder for the first time since its start");
    else
        return NULL;
    return out;
}
