/* SPDX-License-Identifier: MIT */
/*
 * recover: repairs when a database is opened, in this order:
 *
 *   recover_adopt         a new or older database goes on with the numbers of the record of what is
 *                         not sent (unsent_log.h)
 *   recover_first_writes  what a killed run created and never published goes; the view is counted
 *   recover_follow        from here on the record follows the database
 *   replica_put_back      after the first listing: what the database lacks comes from the record
 */
#include "sync/mirror/replica/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"
#include "sync/mirror/replica/unsent_log.h"

#define OUTBOX_ID_BYTES 16

static int make_outbox_id(struct replica *r)
{
    uint8_t raw[OUTBOX_ID_BYTES];
    struct buf hex = BUF_INIT;
    int rc;

    file_random(raw, sizeof(raw));
    hex_encode(&hex, raw, sizeof(raw));
    rc = meta_set(r->db, "outbox_id", hex.data);
    buf_release(&hex);
    return rc;
}

int replica_outbox_renew(struct replica *r)
{
    int rc = tx_begin(r);

    if (rc < 0)
        return rc;
    rc = make_outbox_id(r);
    if (rc == 0)
        rc = db_run(r->db, "UPDATE outbox SET state='q' WHERE state='s'", "");
    return tx_end(r, rc < 0 ? rc : 0, "replica.outbox.renewed");
}

/*
 * A new database, or one that is older than the record of unsent changes: it continues with the
 * record's numbers, and the missing changes are restored once the base is there.
 */
int recover_adopt(struct replica *r, struct err *e)
{
    char *id = meta_get(r->db, "outbox_id");
    const char *theirs;
    int rc = 0;

    r->unsent = unsent_open(r->cache);
    theirs = unsent_outbox(r->unsent);
    if (*theirs &&
        (!*id || (strcmp(id, theirs) == 0 && unsent_next(r->unsent) > r->now.next_opid))) {
        rc = tx_begin(r);
        if (rc == 0) {
            r->now.next_opid = unsent_next(r->unsent);
            rc = meta_set(r->db, "outbox_id", theirs);
            if (rc == 0)
                rc = meta_set(r->db, "put_back", "1");
            rc = tx_end(r, rc, "replica.adopted");
        }
    }
    free(id);
    return rc < 0 ? err_sys(e, -rc, "cannot write to '%s'", r->path) : 0;
}

/* What a killed run created and never published has no content: it is dropped. */
static int drop_unpublished(struct replica *r)
{
    int64_t opid = 0;
    int rc;

    while ((rc = db_get_int(r->db, 0, &opid, "SELECT opid FROM outbox WHERE state='o' LIMIT 1",
                            "")) == 0 &&
           opid > 0) {
        rc = db_run(r->db, "DELETE FROM overlay WHERE opid=? AND type=1 AND hash IS NULL", "i",
                    opid);
        if (rc >= 0)
            rc = outbox_delete(r->db, opid);
        if (rc == 0)
            rc = implicit_dirs_on(r, opid);
        if (rc < 0)
            return rc;
    }
    if (rc >= 0)
        rc = db_run(r->db, "DELETE FROM overlay WHERE opid=?1 AND type=1 AND hash IS NULL", "i",
                    REPLICA_LOCAL);
    if (rc >= 0)
        rc = db_run(r->db, "DELETE FROM incoming", "");
    if (rc >= 0)
        rc = skipped_drop(r->db);
    if (rc >= 0)
        rc = db_run(r->db, "DELETE FROM renumbered", "");
    return rc < 0 ? rc : 0;
}

int recover_first_writes(struct replica *r, struct err *e)
{
    int rc = tx_begin(r);
    char *id;

    if (rc < 0)
        return err_sys(e, -rc, "cannot write to '%s'", r->path);
    id = meta_get(r->db, "outbox_id");
    if (!*id)
        rc = make_outbox_id(r);
    free(id);
    if (rc == 0)
        rc = drop_unpublished(r);
    if (rc == 0)
        rc = replica_recount(r);
    if (rc == 0) /* so that there is a log while it is open (in_use.h) */
        rc = meta_set_int(r->db, "opened", clock_wall_ns());
    rc = tx_end(r, rc, "replica.opened");
    return rc < 0 ? err_sys(e, -rc, "cannot write to '%s'", r->path) : 0;
}

/* What cannot be noted (a full disk) is tried again with the next change. */
int recover_follow(struct replica *r)
{
    char *wanted = meta_get(r->db, "put_back");

    r->put_back = *wanted;
    free(wanted);
    mutex_lock(&r->lock);
    (void)unsent_follow(r->unsent, r, !r->put_back);
    mutex_unlock(&r->lock);
    return 0;
}

bool replica_wants_back(const struct replica *r)
{
    return r->put_back;
}

int replica_put_back(struct replica *r, bool (*has)(void *arg, const struct hash *h, int64_t size),
                     void *arg, struct strlist *lost)
{
    int rc = 0;

    if (r->put_back)
        rc = unsent_put_back(r, has, arg, lost);
    if (rc >= 0)
        r->put_back = false;
    return rc;
}
