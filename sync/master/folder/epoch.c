/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/epoch.h"

#include "sync/master/db/meta.h"
#include "sync/master/db/schema.h"
#include "sync/master/folder/root.h"

#define NAME "epoch"

int epoch_get(struct db *db, int64_t *ret)
{
    return meta_get_int(db, NAME, 0, ret);
}

int epoch_advance(struct folder *f, struct db *db, struct err *e)
{
    struct db *own = NULL;
    int64_t epoch = 0;
    int r = root_advance(f->root, &epoch, e);

    if (r == 0 && !db) {
        r = schema_open(f->db_path, 0, &own, e);
        db = own;
    }
    if (r == 0) {
        r = meta_set_int(db, NAME, epoch);
        if (r < 0)
            db_error(db, e, "cannot store the epoch of the folder");
    }
    db_close(own);
    return r;
}
