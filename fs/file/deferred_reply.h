/* SPDX-License-Identifier: MIT */
/*
 * deferred_reply: a request that is answered from another thread than its handler, and what an
 * interrupt (a signal to the calling process) does meanwhile: either the answer is EINTR at once,
 * or the wait for the master is cut short. Thread safe.
 */
#ifndef EEFS_FS_FILE_DEFERRED_REPLY_H
#define EEFS_FS_FILE_DEFERRED_REPLY_H

#include "fs/file/fs.h"

enum later_kind {
    LATER_EINTR, /* an interrupt answers EINTR: for what can be repeated */
    LATER_CUT,   /* an interrupt ends the wait of deferred_reply_wait */
};

struct deferred_reply;

/* From here on only the caller that gets true from deferred_reply_claim may answer req. The caller
 * owns the result until it claims it. */
struct deferred_reply *deferred_reply_new(struct fs *fs, fuse_req_t req, enum later_kind kind);

/* True: answer the request now. False: it is answered already. Frees l. */
bool deferred_reply_claim(struct deferred_reply *l);

/* mirror_wait(opid, done, arg), which an interrupt cuts. `done` may call deferred_reply_claim. */
void deferred_reply_wait(struct deferred_reply *l, int64_t opid, mirror_done_fn *done, void *arg);

/* Limits the wait to `ms` milliseconds from now. For LATER_CUT, before deferred_reply_wait. */
void deferred_reply_limit(struct deferred_reply *l, int64_t ms);

#endif
