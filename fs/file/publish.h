/* SPDX-License-Identifier: MIT */
/*
 * publish: from a dirty draft to an operation in the outbox, in the pool: hash, seal, log, wait.
 */
#ifndef EEFS_FS_FILE_PUBLISH_H
#define EEFS_FS_FILE_PUBLISH_H

#include "fs/file/draft.h"
#include "fs/file/deferred_reply.h"

/*
 * Publishes the node's draft when it is dirty. Then done(arg, result), once, from a thread of the
 * pool or the mirror: with `l` after the master's answer to the node's newest operation (as
 * mirror_wait has it), without it as soon as it is logged. `done` may be NULL. Takes its own
 * reference on n.
 *
 * What fails without a writer that could be told again is tried again, in the pool, until it
 * succeeds, with growing pauses (up to 8 s); as long as there is such a file the mirror has a
 * fault.
 */
void publish_start(struct fs *fs, struct node *n, struct deferred_reply *l, mirror_done_fn *done,
                   void *arg);

/* After the session's end: publishes what was closed but is still dirty; with `all` (an orderly
 * umount: nothing can be open) everything. Waits for the pool, not for the master. What fails even
 * now is not tried again; the next mount finds it (store/leftovers.h). */
void publish_leftovers(struct fs *fs, bool all);

#endif
