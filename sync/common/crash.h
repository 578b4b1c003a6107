/* SPDX-License-Identifier: MIT */
/*
 * crash: named points at which a test can have the program killed as by kill -9 or power failure.
 *
 * EEFS_CRASH_AT="push.answered" kills at the first pass of that point, "push.answered:3" at the
 * third. EEFS_STOP_AT does the same with SIGSTOP: the test makes a change meanwhile and lets the
 * program continue. Without the variables a point costs one load of a flag. Reads the environment
 * once.
 */
#ifndef EEFS_COMMON_CRASH_H
#define EEFS_COMMON_CRASH_H

/* Kills or stops this process when it is this point's turn. Thread safe. */
void crash_point(const char *name);

#endif
