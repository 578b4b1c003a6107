/* SPDX-License-Identifier: MIT */
/*
 * deferred_reply: a request that is answered from another thread than its handler, and what an interrupt
 * (a signal to the calling process) does meanwhile: either the answer is EINTR at once, or the
 * wait for the master is cut short. Thread safe.
 */
#ifndef EEFS_FS_FILE_DEFERRED_REPLY_H
#define EEFS_FS_FILE_DEFERRED_REPLY_H

#include "fs/file/fs.h"

enum later_kind {
    LATER_EINTR, /* an interrupt answers EINTR: for what can be repeated */
    LATER_CUT,   /* an interrupt ends the wait of later_wait */
};

struct later;

/* From here on only the one for whom later_claim is true may answer req. */
struct later *later_new(struct fs *fs, fuse_req_t req, enum later_kind kind);

/* True: answer the request now. False: it is answered already. Frees l. */
bool later_claim(struct later *l);

/* mirror_wait(opid, done, arg), which an interrupt cuts. `done` may call later_claim. */
void later_wait(struct later *l, int64_t opid, mirror_done_fn *done, void *arg);

/* From now on for `ms` milliseconds at most. For LATER_CUT, before later_wait. */
void later_limit(struct later *l, int64_t ms);

#endif
