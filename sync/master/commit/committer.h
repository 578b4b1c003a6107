/* SPDX-License-Identifier: MIT */
/*
 * committer: the one thread that writes entries. The observations of the scan workers and the
 * operations of mirrors go through its queue; all that is queued commits in one transaction (group
 * commit), but each operation by itself, because it changes files (tree_step). Operations are
 * durable before they are answered; then head.h wakes the polls. Only the committer begins and ends
 * the tree's transactions.
 *
 * An observation is checked against the file again before it is written: a change in between (also
 * by an operation) sends the path back to the scan queue.
 */
#ifndef EEFS_MASTER_COMMIT_COMMITTER_H
#define EEFS_MASTER_COMMIT_COMMITTER_H

#include "sync/common/err.h"
#include "sync/master/publish/observe.h"

/* A batch of operations, filled in by the committer; defined in ops/batch.h. */
struct batch;

int committer_start(struct master *m, struct committer **ret, struct err *e);
/* Finishes all queued work and ends the thread; operations that come later are answered with
 * -ESHUTDOWN. */
void committer_stop(struct committer *c);
void committer_free(struct committer *c);
/* Takes over o and all that it owns. Blocks while the queue is long; never called by the
 * committer. */
void committer_observe(struct committer *c, struct observation *o);
/* Never blocks; b->done is called in the committer's thread once the answers are durable. */
void committer_ops(struct committer *c, struct batch *b);
/*
 * Runs fn in the committer's thread and its transaction, and returns once that is committed: fn's
 * error (it ends the transaction, so it is one of the database) or the commit's; -ENODEV when the
 * root is away, -ESHUTDOWN; then fn was not called. Never called by the committer.
 */
int committer_call(struct committer *c, int (*fn)(struct master *m, void *arg), void *arg);
/* All deletions that wait now are intentional (delete_guard.h). Never blocks. */
void committer_confirm(struct committer *c);
/* Whether the last commit succeeded: 0 or -errno. Any thread. */
int committer_error(struct committer *c);
/* False when the present work has taken longer than `ms`. Any thread. */
bool committer_alive(struct committer *c, int64_t ms);
/* Marks the first scan as complete, once everything queued before is committed. Never blocks. */
void committer_scanned(struct committer *c);

#endif
