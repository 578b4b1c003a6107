/* SPDX-License-Identifier: MIT */
/*
 * batch: a request of operations, which the committer applies in order: keys (a retry gets its old
 * answer), scope, preconditions against the tree and the actual file, conflict copies.
 */
#ifndef EEFS_MASTER_OPS_BATCH_H
#define EEFS_MASTER_OPS_BATCH_H

#include <jansson.h>

#include "sync/common/err.h"
#include "sync/master/folder/carry.h"
#include "sync/master/master.h"
#include "sync/master/db/registry.h"
#include "sync/proto/op.h"

struct batch {
    struct mirror who; /* owned */
    char outbox[65];
    struct op *ops;  /* owned */
    size_t n, at;    /* how many; those before `at` have been answered */
    json_t *answers; /* array */
    json_t *bad;     /* the refusal of the operation after the last one; NULL: none */
    int64_t head;
    bool others; /* some were applied by themselves, not in a group (put_group.h) */
    bool cloned; /* a counter came with another digest: refuse the request */
    int error;   /* the transaction failed: -errno */
    void (*done)(void *arg, struct batch *b);
    void *arg;
    struct carry carry;                        /* the committer's, or the carrier's */
    void (*again)(void *arg, struct batch *b); /* carried: it is to be applied further */
};

/* From {"outbox":…,"ops":[…]}; 0 or -EPROTO. `who` is moved. */
int batch_parse(const char *text, size_t len, struct mirror *who, struct batch **ret,
                struct err *e);
void batch_free(struct batch *b);

/* --- for the committer --- */

/* Within the transaction, which it commits after each operation. `fit` false: the root is away, all
 * is answered "later". Ends before an operation whose content is to be carried first. 0 or -errno
 * of the database. */
int batch_apply(struct master *m, struct batch *b, bool fit);
/* After the commit (r its result): calls b->done, or has the content carried. */
void batch_finish(struct master *m, struct batch *b, int r);

#endif
