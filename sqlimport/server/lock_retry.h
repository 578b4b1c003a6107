/* SPDX-License-Identifier: MIT */
/*
 * lock_retry: tries again and again to get at tables and rows that are in use.
 *
 * A commit does not wait for locks: a connection that waits while it holds others can be part of a
 * deadlock, of which the server makes the smaller side the victim, a visitor; and whoever comes for
 * a table that is waited for waits behind. So a try that meets a lock is refused at once (see
 * server_lock_wait()), releases all it has, pauses for some milliseconds, longer each time and at
 * random, and is made again. Only after 20 s in vain one try now and then waits, 1 s for each lock
 * at most. No connection is killed; those in the way are reported. One thread.
 */
#ifndef EEFS_SQLIMPORT_SERVER_LOCK_RETRY_H
#define EEFS_SQLIMPORT_SERVER_LOCK_RETRY_H

#include "sqlimport/server/server.h"

struct lock_retry {
    struct server *s;
    int64_t begin_ms, until_ms; /* clock_mono_ms(); when the retries end */
    int64_t pause_ms;           /* the next one */
    int64_t wait_ms, report_ms; /* from when on a try waits, and a report is due */
    int tries;
    bool waits; /* the next try does */
    const volatile int *stop;
};

/* From here on statements of s (may be NULL) are refused what is in use, until lock_retry_end(). */
void lock_retry_init(struct lock_retry *w, struct server *s, int64_t limit_ms,
                     const volatile int *stop);
void lock_retry_end(struct lock_retry *w);
/* Steps back. false: the time is over, or stop was asked for. */
bool lock_retry_again(struct lock_retry *w);
/* After a refusal: a report is due (1 s after the first try, then every 15 s). */
bool lock_retry_reports(struct lock_retry *w);
/* Seconds since the first try. */
int lock_retry_age(const struct lock_retry *w);

/* Somebody uses the table now. Tested by a RENAME to its own name, which takes the lock, or is
 * refused it, and then fails; false where the server would wait for the lock. */
bool lock_retry_holds(struct server *s, const char *database, const char *table);

/* malloc'd: the connections that may be in the way, as far as the account sees them; for a log. */
char *lock_retry_blockers(struct server *s, const char *database);

#endif
