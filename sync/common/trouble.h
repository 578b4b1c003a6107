/* SPDX-License-Identifier: MIT */
/*
 * trouble: faults of this machine that a running program met: disk, memory, files that may be open.
 * Counted for each errno with the last place and time, for its status. One ledger per process, like
 * the log; thread safe. Every library function that meets such an errno may note it: who handles it
 * does so all the same.
 */
#ifndef EEFS_COMMON_TROUBLE_H
#define EEFS_COMMON_TROUBLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Notes errno `code` (negative or positive) at `where` (a path or a few words; NULL: not known).
 * What is not EIO, EUCLEAN (damaged), EMFILE, ENFILE, ENOSPC, EDQUOT, ENOMEM or EROFS is ignored.
 * Keeps errno. */
void trouble_note(int code, const char *where);

/* The same for a result (>= 0 or -errno) at the file `name` in folder dirfd, or at the open file
 * dirfd (name NULL). EUCLEAN of a filesystem counts as EIO. Returns the result. */
int trouble_at(int result, int dirfd, const char *name);

/* What was met with this errno so far is repaired: it counts, but is no fault any more. */
void trouble_settle(int code);

/* How often it was met; *ago_ms (may be NULL): since the last time. */
int64_t trouble_count(int code, int64_t *ago_ms);

/* New reference: [{"error":"EIO","count","path","time","ago_ms"}], time in ns; paths printable. */
json_t *trouble_json(void);

/* The worst of what was met and is not settled, as "EIO (…) was met 3 times, last at '…'": EUCLEAN
 * at any time, and EIO, EMFILE, ENFILE, ENOMEM within the last ms, in this order. A full disk is
 * judged elsewhere. False: none. */
bool trouble_recent(int64_t ms, int *code, char *out, size_t cap);

#endif
