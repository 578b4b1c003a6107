/* SPDX-License-Identifier: MIT */
/*
 * scan_queue: paths to look at, and the threads that wait for them (scan/workers.h). The scan is
 * nothing but a look at "" with INDEX_DEEP; a watched event is a look at one path.
 *
 * Three lanes, so that no change waits for a scan and nothing small for something large: events
 * first, then what a listing found, then large files.
 */
#ifndef EEFS_MASTER_FOLDER_SCAN_QUEUE_H
#define EEFS_MASTER_FOLDER_SCAN_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    INDEX_DEEP = 1,   /* a folder: watch it, list it, look at all below */
    INDEX_FORCE = 2,  /* read the content even when the stat is that of the row */
    INDEX_SCAN = 4,   /* part of a full scan; index_scanning() counts these */
    INDEX_FOUND = 8,  /* found by a listing: after events */
    INDEX_LARGE = 16, /* a large file to read: after all else */
    INDEX_MOVED = 32, /* the kernel said that it was renamed to this path */
    INDEX_ALIKE = 64, /* a folder: which of its names look alike? */
    INDEX_LAST = 128, /* put off until here: index_put_off() */
};

struct index;
struct scan_item; /* a path that was taken from the queue */

/* Called with the queue's lock held: they must not call it. */
struct scan_hooks {
    void (*begins)(void *arg); /* the first path of a full scan was put in */
    void (*ends)(void *arg);   /* the last one was looked at */
    void *arg;
};

struct index *index_new(const struct scan_hooks *hooks);
/* One more thread that takes from the queue until it stops. 0 or -errno. */
int index_start_thread(struct index *x, void *(*run)(void *), void *arg);
/* Ends the threads; pushes are still accepted (and dropped) until index_free(). */
void index_stop(struct index *x);
void index_free(struct index *x);

/* Waits for the next path, or with events_only for the next event. NULL: the queue stops. */
struct scan_item *index_take(struct index *x, bool events_only);
const char *index_item_path(const struct scan_item *it);
int index_item_flags(const struct scan_item *it);
/* It was looked at; frees it. True: it was the last one of a full scan. */
bool index_done(struct index *x, struct scan_item *it);

/* Asks for a look in `delay_ms`. Any thread; never blocks. */
void index_push(struct index *x, const char *path, int flags, int64_t delay_ms);
/* While an item of a scan is looked at: asks for a look with INDEX_LAST when all else of that scan
 * was looked at. */
void index_put_off(struct index *x, const char *path);
bool index_scanning(struct index *x);
/* How long the last complete scan took; 0: none yet. */
int64_t index_scan_ms(struct index *x);
/* Paths that wait, delayed ones included. */
int64_t index_waiting(struct index *x);

#endif
