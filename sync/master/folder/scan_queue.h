/* SPDX-License-Identifier: MIT */
/*
 * scan_queue: paths to look at, and the worker threads that look: compare the file with its row, hash
 * what changed, hand the observation to the committer. The scan is nothing but a look at "" with
 * INDEX_DEEP; a watched event is a look at one path.
 *
 * Three lanes, so that no change waits for a scan and nothing small for something large: events
 * first, then what a listing found, then large files. Some workers take events only.
 */
#ifndef EEFS_MASTER_FOLDER_SCAN_QUEUE_H
#define EEFS_MASTER_FOLDER_SCAN_QUEUE_H

#include "sync/master/master.h"

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

int index_start(struct master *m, struct index **ret, struct err *e);
/* Ends the workers; pushes are still accepted (and dropped) until index_free(). */
void index_stop(struct index *x);
void index_free(struct index *x);
/* Asks for a look in `delay_ms`. Any thread; never blocks. */
void index_push(struct index *x, const char *path, int flags, int64_t delay_ms);
/* While an item of a scan is looked at: asks for a look with INDEX_LAST when all else of that scan was looked
 * at. */
void index_put_off(struct index *x, const char *path);
/* Starts a full scan unless one runs; its end is told to the committer. */
void index_scan(struct index *x);
bool index_scanning(struct index *x);
/* How long the last complete scan took; 0: none yet. */
int64_t index_scan_ms(struct index *x);
/* Paths that wait, delayed ones included. */
int64_t index_waiting(struct index *x);

#endif
