/* SPDX-License-Identifier: MIT */
/*
 * wait: the waits for the master's answer to an operation (close, fsync), and their limits. One
 * thread, which sleeps on mirror->answers_wake; functions are for any thread.
 *
 * wait_new makes the part, wait_start its threads (0 or -errno), wait_stop joins them (mirror->stop
 * is set before), wait_free frees what wait_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_WAIT_H
#define EEFS_MIRROR_TRANSFER_WAIT_H

#include <stdint.h>

#include "sync/mirror/config.h"

struct mirror;
struct wait;

struct wait *wait_new(struct mirror *m);
void wait_free(struct wait *w);
int wait_start(struct wait *w);
void wait_stop(struct wait *w); /* ends what waits, as if cut */
uint64_t wait_add(struct wait *w, int64_t opid, mirror_done_fn *done, void *arg);
/* Reports progress of operation opid or its content: waits for it, or for operations sent after it,
 * get 5 s more. Any thread. */
void wait_moved(struct wait *w, int64_t opid);
void wait_cut(struct wait *w, uint64_t ticket);

#endif
