/* SPDX-License-Identifier: MIT */
/*
 * prefetch: fetches contents before they are read, by policy; evicts, and syncs the store from time
 * to time. One thread; functions are for any thread.
 *
 * prefetch_new makes the part, prefetch_start its threads (0 or -errno), prefetch_stop joins them
 * (mirror->stop is set before), prefetch_free frees what prefetch_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_PREFETCH_H
#define EEFS_MIRROR_TRANSFER_PREFETCH_H

#include <stdbool.h>

struct mirror;
struct prefetch;

struct prefetch *prefetch_new(struct mirror *m);
void prefetch_free(struct prefetch *p);
int prefetch_start(struct prefetch *p);
void prefetch_stop(struct prefetch *p);
void prefetch_walk(struct prefetch *p); /* soon: look at the whole tree */
bool prefetch_wants(struct prefetch *p, const char *path);
bool prefetch_any(struct prefetch *p); /* the policy is not "none" */
bool prefetch_room(struct prefetch *p);

#endif
