/* SPDX-License-Identifier: MIT */
/*
 * thread: pthread wrappers that abort on misuse (a lock error is a bug, never a run-time event).
 * Condition variables wait on CLOCK_MONOTONIC.
 */
#ifndef EEFS_COMMON_THREAD_H
#define EEFS_COMMON_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void mutex_init(pthread_mutex_t *m);
void mutex_destroy(pthread_mutex_t *m);
void mutex_lock(pthread_mutex_t *m);
void mutex_unlock(pthread_mutex_t *m);

void cond_init(pthread_cond_t *c);
void cond_destroy(pthread_cond_t *c);
void cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
/* Waits until clock_mono_ms() reaches `deadline_ms`; false when it did. */
bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ms);
void cond_signal(pthread_cond_t *c);
void cond_broadcast(pthread_cond_t *c);

/*
 * Starts a thread named `name` (15 characters at most) with all signals blocked, so that signals
 * reach the main thread. Returns 0 or -errno (EAGAIN: out of threads).
 */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg);
void thread_join(pthread_t t);
/*
 * Once, before much else: glibc loads the unwinder when a thread is first cancelled or ended (as
 * libfuse's are), and aborts the program when it cannot, for instance as no file may be opened any
 * more (EMFILE).
 */
void thread_load_unwinder(void);

#endif
