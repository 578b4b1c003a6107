/* SPDX-License-Identifier: MIT */
/*
 * lost_rows: what mirrors report from a time that this master has lost (wire.h: lost), one row for each
 * mirror and change, until the mirror knows that it is settled. A mirror's database is named by `base`;
 * its numbers never come again. Writing: within the committer's transaction.
 */
#ifndef EEFS_MASTER_DB_LOST_ROWS_H
#define EEFS_MASTER_DB_LOST_ROWS_H

#include <jansson.h>

#include "sync/common/db.h"
#include "sync/proto/entry.h"

#define LOST_ROWS_MAX 1000000 /* of one mirror */

struct lost_row {
    const char *mirror; /* borrowed */
    int64_t n;
    struct entry e; /* ENTRY_GONE: was deleted, and mode is the type that it had */
    bool here;      /* the mirror has the content */
    bool own;       /* it made the change */
};

/* 1 when the mirror has as many rows as it may, 0 or -errno. */
int lost_rows_full(struct db *db, const char *mirror);
/* 0 or -errno. A row that is known stays as it is. `settled`: at once. */
int lost_rows_add(struct db *db, const char *base, const struct lost_row *row, bool settled);
/* Removes a settled row. 0 or -errno. */
int lost_rows_forget(struct db *db, const char *mirror, const char *base, int64_t n);
/* Settles the rows of all mirrors that say the same as `e`. 0 or -errno. */
int lost_rows_settle(struct db *db, const struct entry *e);

/* The highest number of that database; 0: none. 0 or -errno. */
int lost_rows_last(struct db *db, const char *mirror, const char *base, int64_t *ret);
/* Adds the numbers of up to `max` settled rows. 0 or -errno. */
int lost_rows_settled(struct db *db, const char *mirror, const char *base, size_t max,
                      json_t *numbers);
/* Changes that are not settled, each counted once, whatever the number of mirrors that report it;
 * of one mirror, or of all (NULL). 0 or -errno. */
int lost_rows_count(struct db *db, const char *mirror, int64_t *ret);
/* 1 when a row of the mirror that is not settled has the content, and the content is there. */
int lost_rows_has(struct db *db, const char *mirror, const struct hash *h);
/* Calls fn for each that is not settled, by path; of one mirror, or of all (NULL). 0 or -errno. */
int lost_rows_each(struct db *db, const char *mirror, void (*fn)(void *arg, struct lost_row *row),
                   void *arg);
#endif
