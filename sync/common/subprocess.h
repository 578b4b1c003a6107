/* SPDX-License-Identifier: MIT */
/*
 * subprocess: starts a shell command of the admin, and waits for the end of any child with a limit.
 * Thread safe.
 */
#ifndef EEFS_COMMON_SUBPROCESS_H
#define EEFS_COMMON_SUBPROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sync/common/account.h"

struct subprocess {
    const char *command;           /* for /bin/sh -c */
    const char *const *variables;  /* "NAME=value", NULL at the end; they replace ours */
    const struct account *account; /* the user that it runs as; NULL: this process's */
};

/*
 * Starts the command in a process group of its own, with this process's environment and the
 * variables, no standard input, its output to this process's log, no other descriptor, no signal
 * blocked. Its process id, or -errno.
 */
pid_t subprocess_start(const struct subprocess *s);

/*
 * Waits for the end of a child; ends it when timeout_ms are over or *stop (may be NULL) is set:
 * SIGTERM, a few seconds later SIGKILL, with `group` to its whole process group. 0 with wait(2)'s
 * status; -ETIMEDOUT, -EINTR: it was ended.
 */
int subprocess_wait(pid_t pid, int64_t timeout_ms, bool group, const volatile int *stop,
                    int *status);

#endif
