/* SPDX-License-Identifier: MIT */
/*
 * trouble: faults of this machine that a running program met: disk, memory, limits of open files.
 * Counted for each errno with the last place and time, for status. One ledger per process, like the
 * log; thread safe. Every library function that meets such an errno may record it; the caller
 * handles the error all the same.
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

/* Declares all faults with this errno so far repaired: they still count, but are no faults any
 * more. */
void trouble_settle(int code);

/* A place (a path from /) that failed with EIO is a fault until an access succeeds again. This
 * calls fn for one place that is due (after half a second, then later and later, up to 5 s or 20
 * times what the last try took), without a lock. fn returns true when the place works again; it
 * stays a fault when EIO occurred there meanwhile. One thread at a time, without other work: fn
 * takes as long as the disk does (recheck.h). False: none is due. */
typedef bool trouble_try_fn(void *arg, const char *path);
bool trouble_look_again(trouble_try_fn *fn, void *arg);

/* How often it was met; *ago_ms (may be NULL): since the last time. */
int64_t trouble_count(int code, int64_t *ago_ms);

/* New reference: [{"error":"EIO","count","path","time","ago_ms"}], time in ns; paths printable. */
json_t *trouble_json(void);

/* The worst fault that is not settled, as "EIO (…) was met 3 times, last at '…'": EUCLEAN at any
 * time, EIO at a place that is not well yet, and EIO without a place, EMFILE, ENFILE, ENOMEM within
 * the last ms, in this order. A full disk is judged elsewhere. False: none. */
bool trouble_recent(int64_t ms, int *code, char *out, size_t cap);

#endif
