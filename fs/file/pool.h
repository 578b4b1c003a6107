/* SPDX-License-Identifier: MIT */
/*
 * pool: a few threads for long work (hashing, copying, syncing), so that no thread that serves the
 * kernel's requests waits for it. Jobs start in the order in which they came.
 */
#ifndef EEFS_FS_FILE_POOL_H
#define EEFS_FS_FILE_POOL_H

#include <stdint.h>

struct pool;

/* `error` is 0, or the -errno for which the event that the job waits for will not happen. */
typedef void pool_fn(void *arg, int error);

int pool_new(unsigned threads, struct pool **ret);
/* Runs all queued jobs, then ends the threads. NULL is fine. */
void pool_free(struct pool *p);

/* Queues fn(arg, error). Never blocks. */
void pool_add(struct pool *p, pool_fn *fn, void *arg, int error);

/* The same, but not before delay_ms milliseconds have passed. */
void pool_add_later(struct pool *p, int64_t delay_ms, pool_fn *fn, void *arg);

/* Waits until no job is queued or running; delayed jobs run at once. */
void pool_drain(struct pool *p);

#endif
