/* SPDX-License-Identifier: MIT */
/* disk_check: retries failed paths in the cache folder (recheck.h): the database by its
 * connections, other files by reading them and by writing beside them. */
#include "sync/mirror/transfer/disk_check.h"

#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/path.h"
#include "sync/common/recheck.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/transfer/context.h"

bool disk_check(void *arg, const char *path)
{
    struct mirror *m = arg;
    char *db = xasprintf("%s/replica.db", m->cfg.cache);
    int r;

    if (recheck_is_database(path, db)) {
        r = replica_try(m->replica);
    } else {
        r = recheck_read(path);
        if (r == 0 && path_is_under(path, m->cfg.cache))
            r = recheck_write_beside(path);
        if (r == 0)
            r = recheck_write(m->cfg.cache);
    }
    free(db);
    return r == 0;
}
