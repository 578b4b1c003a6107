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
 * When publishing fails and no writer is left to get the error, the pool retries until it succeeds,
 * with growing pauses (up to 8 s); as long as there is such a file the mirror has a fault.
 */
void publish_start(struct fs *fs, struct node *n, struct deferred_reply *l, mirror_done_fn *done,
                   void *arg);

/* After the session's end: publishes all drafts that were closed but are still dirty; with `all`
 * (an orderly umount: no file can be open) every draft. Waits for the pool, not for the master. A
 * draft that fails now is not retried; the next mount finds it (store/leftovers.h). */
void publish_leftovers(struct fs *fs, bool all);

#endif
