/* SPDX-License-Identifier: MIT */
/*
 * server_clock: finds out whether the server's clock was set back since the marks of tables were
 * noted.
 *
 * A mark (see live_rows.h) is a time that the server wrote down. A clock that is set back comes to
 * the same second a second time, and a change in it leaves a mark that is known already. This
 * machine's time since its boot, which nobody sets, is noted beside the server's: the server's must
 * have gone on for as long. One thread, the one that imports.
 */
#ifndef EEFS_SQLIMPORT_APPLY_SERVER_CLOCK_H
#define EEFS_SQLIMPORT_APPLY_SERVER_CLOCK_H

#include "sqlimport/record/history.h"
#include "sqlimport/server/server.h"

/* The server's clock and this machine's, read together. */
struct server_clock {
    struct clock_reading r; /* after_us: when the answer was there */
    int64_t before_us;      /* CLOCK_BOOTTIME when the question was sent, microseconds */
    bool local;             /* the server runs on this machine, and has the same clock */
};

enum clock_course {
    CLOCK_WENT_ON,
    CLOCK_SET_BACK,
    CLOCK_UNKNOWN, /* there is no reading of this boot of this machine */
};

/*
 * How the clock went between two readings; `then` is NULL when there is none. *ret_us: microseconds
 * by which it was set back, at least; 0 otherwise. The clock of a server elsewhere may be slower by
 * a thousandth. Pure.
 */
enum clock_course server_clock_course(const struct clock_reading *then,
                                      const struct server_clock *now, int64_t *ret_us);

/*
 * Reads the clock and notes it in the history. When it was set back, or may have been, makes the
 * marks of all tables void, so that they are compared. *ret_notice is then a sentence (malloc'd) if
 * there were any, and untouched otherwise. 0; -EIO for the history; else as of server.h.
 */
int server_clock_check(struct history *h, struct server *s, const char *database, char **ret_notice,
                       struct err *e);

#endif
