/* SPDX-License-Identifier: MIT */
/*
 * child: the end of a program that we started, waited for with a limit. Thread safe.
 */
#ifndef EEFS_SQLIMPORT_CHILD_H
#define EEFS_SQLIMPORT_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Waits for the child's end; ends it when timeout_ms are over or *stop (may be NULL) is set:
 * SIGTERM, a few seconds later SIGKILL, with `group` to its whole process group. 0 with wait(2)'s
 * status; -ETIMEDOUT, -EINTR: it was ended.
 */
int child_wait(pid_t pid, int64_t timeout_ms, bool group, const volatile int *stop, int *status);

#endif
