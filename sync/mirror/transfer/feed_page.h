/* SPDX-License-Identifier: MIT */
/*
 * feed_page: the lines of the feed's pages on their way into the replica. A set is all pages up to
 * a commit line; its entries are staged, and none is visible before the commit.
 *
 * A line that cannot be applied (a path that is too long, an unknown type, …) is recorded by its
 * path and left out; all other lines are applied. A broken page is refused as a whole: one without
 * its last line, with an invalid cursor or one that does not advance, or with more or longer lines
 * than requested. So a set comes to an end: each page is bounded, each goes on in the master's
 * numbers, and so many entries are in no tree.
 *
 * Pull thread only (the first listing: the thread that mounts).
 */
#ifndef EEFS_MIRROR_TRANSFER_FEED_PAGE_H
#define EEFS_MIRROR_TRANSFER_FEED_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "sync/common/err.h"
#include "sync/proto/cursor.h"

struct mirror;
struct feed_page;

struct feed_page *feed_page_new(struct mirror *m);
void feed_page_free(struct feed_page *p);

/* A new set from `since` on ("": a full listing). `fetch`: note what is to be fetched ahead. */
void feed_page_begin_set(struct feed_page *p, const char *since, bool fetch);
/* A page is asked for, with inline contents of up to so many bytes. */
void feed_page_begin(struct feed_page *p, size_t inline_max);
/* http_sink_fn */
int feed_page_take(void *arg, const void *data, size_t len);
/* Checks a complete page. 0, or -errno with the sentence of the first fault. */
int feed_page_end(struct feed_page *p, struct err *e);

/* The fault of the line or the disk that ended feed_page_take(); code 0: none. */
const struct err *feed_page_fault(const struct feed_page *p);
/* That was this mirror's own disk. */
bool feed_page_failed_here(const struct feed_page *p);
/* The cursor of the last page; it was a commit line; entries of the set so far. */
const char *feed_page_cursor(const struct feed_page *p);
bool feed_page_is_commit(const struct feed_page *p);
size_t feed_page_entries(const struct feed_page *p);
/* Called when the set is applied: requests the contents to fetch ahead. */
void feed_page_fetch_ahead(struct feed_page *p);

#endif
