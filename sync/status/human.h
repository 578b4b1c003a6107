/* SPDX-License-Identifier: MIT */
/* human: sizes and times as people read them. Pure. */
#ifndef EEFS_STATUS_HUMAN_H
#define EEFS_STATUS_HUMAN_H

#include <stdint.h>

#define HUMAN_CAP 48 /* bytes of an output */

/* "980 bytes", "1.5 KiB", "20 GiB": at most three digits before and one behind the point. Returns
 * out. */
const char *human_size(int64_t bytes, char out[HUMAN_CAP]);
/* "1.0 of 20 GiB": both in the unit of the second, unless that would hide the first. */
const char *human_share(int64_t part, int64_t whole, char out[HUMAN_CAP]);
/* "0.4 s", "12 s", "5 min", "3 h 20 min", "2 days" for a number of milliseconds. */
const char *human_span(int64_t ms, char out[HUMAN_CAP]);
#endif
