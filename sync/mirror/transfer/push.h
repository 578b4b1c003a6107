/* SPDX-License-Identifier: MIT */
/*
 * push: sends the outbox to the master, in order, as long as the link is up. One thread, which
 * sleeps on mirror->outbox_wake; that also holds the reason when it makes no progress.
 *
 * push_new makes the part, push_start its threads (0 or -errno), push_stop joins them (mirror->stop
 * is set before), push_free frees what push_new made (NULL is fine).
 */
#ifndef EEFS_MIRROR_TRANSFER_PUSH_H
#define EEFS_MIRROR_TRANSFER_PUSH_H

struct mirror;
struct push;

struct push *push_new(struct mirror *m);
void push_free(struct push *p);
int push_start(struct push *p);
void push_stop(struct push *p);

#endif
