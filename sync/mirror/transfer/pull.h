/* SPDX-License-Identifier: MIT */
/*
 * pull: follows the master: hello, page sets of the feed into the base, and the requests that
 * detect the master's return. One thread; functions are for any thread, except pull_first and
 * pull_check_address.
 *
 * pull_new makes the part, pull_start its threads (0 or -errno), pull_stop joins them (mirror->stop
 * is set before), pull_free frees what pull_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_PULL_H
#define EEFS_MIRROR_TRANSFER_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"

struct mirror;
struct pull;

struct pull *pull_new(struct mirror *m);
void pull_free(struct pull *p);
int pull_start(struct pull *p);
void pull_stop(struct pull *p);
/* hello and the whole first listing, in the caller's thread; each page comes within page_ms. */
int pull_first(struct pull *p, int64_t page_ms, struct err *e);
/* For a cache that was last used with another address: asks who is there. -EXDEV: another master;
 * 0 also when nobody answers (the thread goes on asking). */
int pull_check_address(struct pull *p, struct err *e);
/* True when the last page set reached the head. */
bool pull_in_step(struct pull *p, int64_t *since);

#endif
