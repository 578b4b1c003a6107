/* SPDX-License-Identifier: MIT */
/*
 * fetch: fetches contents from the master into the store, those with waiting readers first. 4 + 2
 * threads; functions are for any thread.
 *
 * fetch_new makes the part, fetch_start its threads (0 or -errno), fetch_stop joins them
 * (mirror->stop is set before), fetch_free frees what fetch_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_FETCH_H
#define EEFS_MIRROR_TRANSFER_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/common/hash.h"
#include "sync/mirror/config.h"

struct mirror;
struct fetch;

struct fetch *fetch_new(struct mirror *m);
void fetch_free(struct fetch *f);
int fetch_start(struct fetch *f);
void fetch_stop(struct fetch *f); /* what waits ends with -EIO */
/* done NULL: prefetch. */
void fetch_want(struct fetch *f, const struct hash *h, int64_t size, mirror_done_fn *done,
                void *arg);
size_t fetch_queued(struct fetch *f); /* prefetches not begun */
bool fetch_came_in(struct fetch *f);  /* true once after something was stored */
/* Fetches the content that arrived damaged once more when it is due; success clears the fault. */
void fetch_damaged_again(struct fetch *f);

#endif
