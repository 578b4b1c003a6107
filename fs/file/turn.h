/* SPDX-License-Identifier: MIT */
/*
 * turn: who reads the kernel's next request. One thread has the turn, answers what it reads, and
 * reads again: for a request that is answered from memory no other thread is woken, and this one's
 * caches are warm. A handler that may block passes the turn first; the thread that gets it is from
 * then on the one that reads.
 */
#ifndef EEFS_FS_FILE_TURN_H
#define EEFS_FS_FILE_TURN_H

struct turn;

struct turn *turn_new(void);
void turn_free(struct turn *t); /* NULL is fine */

/* Waits until the caller has the turn; returns at once where it still has it. A cancellation point
 * (pthreads(7)). */
void turn_take(struct turn *t);

/* Gives the turn to another thread, if the caller has it. */
void turn_pass(struct turn *t);

#endif
