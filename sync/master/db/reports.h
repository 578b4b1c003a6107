/* SPDX-License-Identifier: MIT */
/*
 * reports: the master's knowledge of each running mirror, by name: its last report, the time of its
 * last request, and its running requests. In memory only; all functions are thread safe.
 */
#ifndef EEFS_MASTER_DB_REPORTS_H
#define EEFS_MASTER_DB_REPORTS_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct reports;

struct reports *reports_new(void);
/* NULL is fine. */
void reports_free(struct reports *s);

/* Stores a report (POST /v1/state; takes a reference), or with NULL only the time, and the seq of
 * its cursor (-1: unknown, the stored one stays). */
void reports_seen(struct reports *s, const char *name, json_t *report, int64_t seq);

/* Stores the address that the mirror's report came from (at most REPORTS_ADDRESS_CAP - 1 bytes of
 * ASCII). */
void reports_address(struct reports *s, const char *name, const char *address);
#define REPORTS_ADDRESS_CAP 64

/*
 * A report came from `machine` (any text that tells machines apart, with the host's name behind its
 * last ':') at `address`. A machine that reports again after another one did shows that two use the
 * mirror's token: for REPORTS_TWIN_MS the mirror is DEGRADED then. `other` (REPORTS_TEXT_CAP bytes)
 * gets the name and address of the one that reported before this one, "" when there is no twin. A
 * machine that takes over for good (a restart, a replacement) is no twin.
 */
void reports_machine(struct reports *s, const char *name, const char *machine, const char *address,
                     int64_t now, char *other);
#define REPORTS_TEXT_CAP 256
#define REPORTS_TWIN_MS  60000

/* A request of this mirror begins: false when REPORTS_REQUESTS_MAX are running already; else it
 * ends with reports_leave(). */
bool reports_enter(struct reports *s, const char *name);
void reports_leave(struct reports *s, const char *name);
#define REPORTS_REQUESTS_MAX 128

/* A copy of the mirror's cache was refused: for five minutes the mirror is shown as DEGRADED. */
void reports_clone(struct reports *s, const char *name);
#define REPORTS_CLONED                                                                             \
    "two machines use copies of one cache: the changes of one of them are refused"

/* Mirrors report every 10 s: one that is silent for this long is "unknown". */
#define REPORTS_SILENT_MS 30000

/* {"name","state","reason","seen_ms_ago","address","version","lag_ms","pending","conflicts",…}, a new
 * reference. A mirror that was not heard of has no figures, and is "silent" if it has ever
 * reported; one whose token two machines use has "twin": true. `head`: head_seq(); `now`: clock_mono_ms(). */
json_t *reports_show(struct reports *s, const char *name, int64_t head, int64_t now);

#endif
