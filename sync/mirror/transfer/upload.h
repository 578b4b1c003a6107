/* SPDX-License-Identifier: MIT */
/*
 * upload: large contents travel to the master ahead of the operations that name them. Four
 * threads; functions are for any thread.
 *
 * upload_new makes the part, upload_start its threads (0 or -errno), upload_stop joins them
 * (mirror->stop is set before), upload_free frees what upload_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_UPLOAD_H
#define EEFS_MIRROR_TRANSFER_UPLOAD_H

#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/hash.h"

struct mirror;
struct upload;

enum upload_state { UPLOAD_BUSY, UPLOAD_DONE, UPLOAD_FAILED };
struct upload *upload_new(struct mirror *m);
void upload_free(struct upload *u);
int upload_start(struct upload *u);
void upload_stop(struct upload *u);
/* Requests the upload of the content of operation `opid`, and returns its state. The next call
 * retries a failed one. outbox_wake is kicked whenever one ends. e: the reason of a failure; `code`
 * (UPLOAD_CODE_CAP bytes): the master's code for it, or "". */
#define UPLOAD_CODE_CAP 32
enum upload_state upload_want(struct upload *u, const struct hash *h, int64_t size, int64_t opid,
                              char *code, struct err *e);
/* The master answered operation `opid` that it no longer has the content: the next request uploads
 * it again. */
void upload_forget(struct upload *u, const struct hash *h, int64_t opid);

#endif
