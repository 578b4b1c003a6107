/* SPDX-License-Identifier: MIT */
/*
 * recover: brings back what this master has lost: changes that mirrors reported (lost_rows.h), and files
 * whose deletion is held because the folder was put back (delete_guard.h).
 *
 * Each comes back as an operation of the mirror that has its content (ops/batch.h), with the
 * precondition that nothing is there: so other content stays, and what was lost becomes a conflict
 * copy. The mirror's write scope does not hold: it gives back what this master served, and a person
 * has asked for it, who sees on the list what lies outside of that scope. Contents are uploaded by
 * mirrors and verified.
 */
#ifndef EEFS_MASTER_RECOVERY_RECOVER_H
#define EEFS_MASTER_RECOVERY_RECOVER_H

#include <jansson.h>
#include <stdbool.h>

#include "sync/common/err.h"
#include "sync/master/master.h"

struct recover_options {
    const char *from; /* only what this mirror reported; NULL: all */
    bool dry_run;     /* list only */
    bool discard;     /* let the reported changes go instead */
    bool deletions;   /* also delete what was deleted in the lost time */
};

/*
 * Calls tell() with each change, as an object that it takes over:
 *   {"path":P,"kind":"file"|"folder"|"link"|"deleted","target"?,"size":N,"mtime":ns,"mirrors":[names],"maker"?:name,
 *    "here":is a content that is needed on a mirror,"held":bool,"outside":outside their write scopes,
 *    "result":"listed"|"back"|"there"|"conflict"|"deleted"|"discarded"|"left","why"?:sentence}
 * 0 or -errno with e. Any thread but the committer's; waits for mirrors. One at a time (-EBUSY). tell()
 * returning false ends it.
 */
int recover(struct master *m, const struct recover_options *o,
            bool (*tell)(void *arg, json_t *line), void *arg, struct err *e);

#endif
