/* SPDX-License-Identifier: MIT */
/* clock: monotonic time for waiting, wall time for people and mtimes. Thread safe. */
#ifndef EEFS_COMMON_CLOCK_H
#define EEFS_COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t clock_mono_ms(void);
/* Nanoseconds since the epoch, CLOCK_REALTIME. Never used for ordering changes. */
int64_t clock_wall_ns(void);
/* "2026-11-23T10:15:00Z" for a wall time; out holds 32 bytes; returns out. */
const char *clock_text(int64_t wall_ns, char *out);
/* The wall time of such a text; 0: it is none. */
int64_t clock_from_text(const char *text);

#endif
