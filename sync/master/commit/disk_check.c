/* SPDX-License-Identifier: MIT */
#include "sync/master/commit/disk_check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/path.h"
#include "sync/common/recheck.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"
#include "sync/master/commit/committer.h"
#include "sync/master/db/checkpoint.h"
#include "sync/master/db/meta.h"
#include "sync/master/folder/root.h"
#include "sync/master/master.h"
#include "sync/master/db/readers.h"

static int commit_try(struct master *m, void *arg)
{
    (void)arg;
    return meta_set_int(m->tree->db, "tried", clock_wall_ns());
}

static int try_database(struct master *m)
{
    struct db *db = readers_get(m->readers);
    int r = db ? db_read_all(db) : -EIO;

    readers_put(m->readers, db);
    if (r == 0)
        r = committer_call(m->committer, commit_try, NULL);
    if (r == 0)
        r = db_sync(m->tree->db);
    if (r == 0) /* fsync(2) reports EIO only once: data that it failed for is written once more */
        checkpoint_wake(m->checkpoint);
    return r == -ENOSPC || r == -EDQUOT ? 0 : r;
}

/* True when `path` lies in the folder that is open as fd. */
static bool is_below(const char *path, int fd)
{
    char link[40], folder[PATH_MAX];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, folder, sizeof(folder) - 1);
    if (n <= 0)
        return false;
    folder[n] = '\0';
    return path_is_under(path, folder);
}

bool disk_check(void *arg, const char *path)
{
    struct master *m = arg;
    char staging[40], *state;
    int r;

    if (recheck_is_database(path, m->db_path))
        return try_database(m) == 0;
    state = xstrndup(m->db_path, (size_t)(path_base(m->db_path) - m->db_path));
    r = recheck_read(path);
    if (r == 0 && (strncmp(path, state, strlen(state)) == 0 ||
                   is_below(path, root_private_fd(m->folder->root))))
        r = recheck_write_beside(path);
    if (r == 0 && is_below(path, root_fd(m->folder->root))) {
        snprintf(staging, sizeof(staging), "/proc/self/fd/%d",
                 root_own_staging_fd(m->folder->root));
        r = recheck_write(staging);
    }
    free(state);
    return r == 0;
}
