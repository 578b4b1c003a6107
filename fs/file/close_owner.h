/* SPDX-License-Identifier: MIT */
/*
 * close_owner: whose close it is. The kernel sends a FLUSH for every descriptor that is closed,
 * also for the copies that a fork made: a child that is about to run another program closes all
 * that are marked close-on-exec. That must not publish a file that its parent has half written, so
 * until the process that opened the file has closed it once, no other process's close counts. After
 * that, every close counts.
 */
#ifndef EEFS_FS_FILE_CLOSE_OWNER_H
#define EEFS_FS_FILE_CLOSE_OWNER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct close_owner {
    pid_t thread, process; /* 0: not known, and then every close counts */
    atomic_bool closed;
};

/* `thread` is the request's pid, which to the kernel is a thread's id. */
void close_owner_init(struct close_owner *o, pid_t thread);

/* True when this FLUSH of `thread` is a close. Any thread. */
bool close_owner_closes(struct close_owner *o, pid_t thread);

#endif
