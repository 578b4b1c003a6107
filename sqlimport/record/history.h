/* SPDX-License-Identifier: MIT */
/*
 * history: the imports, in SQLite under --state: one row per import, the state of each table and
 * object as of the last one, and the dump that failed. One thread.
 */
#ifndef EEFS_SQLIMPORT_RECORD_HISTORY_H
#define EEFS_SQLIMPORT_RECORD_HISTORY_H

#include <stdbool.h>

#include "sqlimport/record/outcome.h"
#include "sync/common/err.h"
#include "sync/common/opt.h"

struct history;

/* Opens STATE/import-NAME.db. -EBUSY: another importer has it. */
int history_open(const char *dir, const char *name, struct history **ret, struct err *e);
void history_close(struct history *h);

/* Of the last import; zeroes when there is none. */
int history_last(struct history *h, struct last_import *last, struct failure *f, struct err *e);
int history_add(struct history *h, const struct last_import *last, struct err *e);
int history_fail(struct history *h, const struct failure *f, struct err *e);

/* Tables whose change the command of --after is still to be told (see hook.h): added in the
 * transaction that records their import. */
int history_add_untold(struct history *h, const char *table);
int history_untold(struct history *h, struct strlist *ret, struct err *e);
int history_told(struct history *h, struct err *e); /* all of them */

/* This machine's secret for rowhash, made at the first call. */
int history_secret(struct history *h, struct hash *ret, struct err *e);

/* How an object looked right after its import. */
struct past {
    struct hash hash;     /* in the dump */
    char mark[64];        /* of the live table; see live_rows.h. "" is void */
    struct hash def;      /* of its CREATE TABLE in the dump, without AUTO_INCREMENT */
    struct hash live_def; /* of the live table then, which the server may word differently */
    struct hash probe;    /* of the live table; see live_rows.h */
    int64_t compared_ms;  /* clock_wall_ns() / 1000000 when all its rows were the dump's for sure */
};

/* false: not known. */
bool history_object(struct history *h, const char *kind, const char *name, struct past *ret);
/* Both: how many rows changed, or -errno. */
int history_set_object(struct history *h, const char *kind, const char *name,
                       const struct past *past);
int history_forget(struct history *h, const char *kind, const char *name);
/* Calls fn for every object of a kind; a negative result ends it and is returned. */
typedef int history_fn(void *arg, const char *name, const struct past *past);
int history_each(struct history *h, const char *kind, history_fn *fn, void *arg, struct err *e);
/* Makes the marks of all tables void: how many there were, or -errno. */
int history_void_marks(struct history *h);

#define CLOCK_BOOT_CAP 40 /* 36 digits and a newline */

/* The server's clock beside this machine's; see server_clock.h. */
struct clock_reading {
    char boot[CLOCK_BOOT_CAP]; /* boot_id of this machine's kernel; "": not known */
    int64_t after_us;          /* CLOCK_BOOTTIME when the answer was there, microseconds */
    int64_t server_us;         /* the server's time, microseconds since 1970 */
};

/* false: none was noted. */
bool history_clock(struct history *h, struct clock_reading *ret);
int history_set_clock(struct history *h, const struct clock_reading *r);

int history_begin(struct history *h);
/* Commits when `r`, the result so far, is no error, else rolls back: 0 or -errno. */
int history_end(struct history *h, int r);

#endif
