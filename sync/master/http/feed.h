/* SPDX-License-Identifier: MIT */
/*
 * feed: pages of changes, and the polls that wait for the next commit. A parked poll is a suspended
 * connection in a list; a commit (head.h) and a timer thread resume it, and its handler looks
 * again. What the mirror of the poll alone asked for was in the answer already, so a poll waits for
 * more of that for a moment. The timer's thread also resumes all when scopes or tokens were changed, for which it looks
 * into the database once a second.
 */
#ifndef EEFS_MASTER_HTTP_FEED_H
#define EEFS_MASTER_HTTP_FEED_H

#include <microhttpd.h>

#include "sync/common/buf.h"
#include "sync/common/db.h"
#include "sync/common/err.h"
#include "sync/master/master.h"
#include "sync/master/db/registry.h"
#include "sync/proto/cursor.h"

struct feed_query {
    struct cursor since; /* timeline "" : list everything */
    int64_t limit, inline_max;
};

/*
 * Appends one page (entries and the closing line) to `out`, fills *next with its cursor and
 * *entries with the number of entries. 0; -ESTALE: list again; -errno.
 */
int feed_page(struct master *m, struct db *db, const struct mirror *who, const struct feed_query *q,
              struct buf *out, struct cursor *next, size_t *entries);

struct parked {
    struct parked *next;
    struct MHD_Connection *conn;
    int64_t deadline;   /* clock_mono_ms() */
    const char *mirror; /* whose poll it is; the caller's */
    int64_t seq;        /* that it has got to */
    bool echoed;        /* it has waited for more of its own */
};

int feed_start(struct master *m, struct feed **ret, struct err *e);
/* Resumes all; feed_park() parks no more. */
void feed_stop(struct feed *f);
void feed_free(struct feed *f);
/* Suspends p->conn until a commit after p->seq, the deadline or the end; false (not suspended) when
 * there is one already, unless it is the mirror's own and the poll has not waited for more. Only
 * within the connection's handler. `p` is the caller's and out of the list before the handler is
 * called again. */
bool feed_park(struct feed *f, struct parked *p);

#endif
