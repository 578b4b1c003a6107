/* SPDX-License-Identifier: MIT */
/*
 * scan_queue: paths to look at, and the threads that wait for them (scan/workers.h). The scan is
 * nothing but a look at "" with SCAN_DEEP; a watched event is a look at one path.
 *
 * Three lanes, so that no change waits for a scan and nothing small for something large: events
 * first, then what a listing found, then large files.
 */
#ifndef EEFS_MASTER_FOLDER_SCAN_QUEUE_H
#define EEFS_MASTER_FOLDER_SCAN_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SCAN_DEEP = 1,        /* a folder: watch it, list it, look at all below */
    SCAN_FORCE = 2,       /* read the content even when the stat is that of the row */
    SCAN_FULL = 4,        /* part of a full scan; scan_queue_scanning() counts these */
    SCAN_FOUND = 8,       /* found by a listing: after events */
    SCAN_LARGE = 16,      /* a large file to read: after all else */
    SCAN_MOVED = 32,      /* the kernel said that it was renamed to this path */
    SCAN_COLLISIONS = 64, /* a folder: look for names that differ only by case or normalisation */
    SCAN_LAST = 128,      /* put off until here: scan_queue_put_off() */
    SCAN_HIDDEN = 256,    /* a folder: does it hold names that are not served? */
};

struct scan_queue;
struct scan_item; /* a path that was taken from the queue */

/* Called with the queue's lock held: they must not call it. */
struct scan_hooks {
    void (*begins)(void *arg); /* the first path of a full scan was put in */
    void (*ends)(void *arg);   /* the last one was looked at */
    void *arg;
};

struct scan_queue *scan_queue_new(const struct scan_hooks *hooks);
/* One more thread that takes from the queue until it stops. 0 or -errno. */
int scan_queue_start_thread(struct scan_queue *x, void *(*run)(void *), void *arg);
/* Ends the threads; pushes are still accepted (and dropped) until scan_queue_free(). */
void scan_queue_stop(struct scan_queue *x);
void scan_queue_free(struct scan_queue *x);

/* Waits for the next path, or with events_only for the next event. NULL: the queue stops. */
struct scan_item *scan_queue_take(struct scan_queue *x, bool events_only);
const char *scan_item_path(const struct scan_item *it);
int scan_item_flags(const struct scan_item *it);
/* It was looked at; frees it. True: it was the last one of a full scan. */
bool scan_queue_done(struct scan_queue *x, struct scan_item *it);

/* Queues a look in `delay_ms`. Any thread; never blocks. */
void scan_queue_push(struct scan_queue *x, const char *path, int flags, int64_t delay_ms);
/* While an item of a scan is looked at: asks for a look with SCAN_LAST when all else of that scan
 * was looked at. */
void scan_queue_put_off(struct scan_queue *x, const char *path);
bool scan_queue_scanning(struct scan_queue *x);
/* How long the last complete scan took; 0: none yet. */
int64_t scan_queue_scan_ms(struct scan_queue *x);
/* Paths that wait, delayed ones included. */
int64_t scan_queue_waiting(struct scan_queue *x);

#endif
