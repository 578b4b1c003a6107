/* SPDX-License-Identifier: MIT */
/*
 * master: what the parts of `eefs-master serve` share. Made by serve.c before any thread starts,
 * released after all have ended.
 *
 * Threads: HTTP workers (routes.c), one committer (committer.c) and its two carriers (carry.c),
 * index workers (scan_queue.c), the watcher (watch.c), the lookout (at the root), recheck
 * (commit/disk_check.c), the poll timer (feed.c) and main (signals, systemd). Only the committer
 * writes entries.
 */
#ifndef EEFS_MASTER_MASTER_H
#define EEFS_MASTER_MASTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/common/opt.h"
#include "sync/master/folder/root.h"
#include "sync/master/db/tree.h"

struct delete_guard;
struct carrier;
struct checkpoint;
struct committer;
struct readers;
struct departures;
struct displaced;
struct feed;
struct head;
struct scan_queue;
struct intruder;
struct kept;
struct keeper;
struct root_monitor;
struct reports;
struct notices;
struct uploads;
struct volumes;
struct watch;

/* Patterns of what is not shared. Immutable; an older list is kept, for somebody may read it. */
struct excludes {
    struct strlist list;
    struct excludes *older;
};

/* Bytes of a file that are read in the committer's thread; it holds up everybody. */
#define MASTER_READ_MAX (8 << 20)

struct master {
    /* constant while threads run */
    struct root *root;
    struct tree *tree; /* the committer's */
    struct readers *readers;
    struct checkpoint *checkpoint;
    struct head *head;
    struct committer *committer;
    struct carrier *carrier, *copier;  /* to other filesystems; to the store, which is soon done */
    struct delete_guard *delete_guard; /* the committer's */
    struct scan_queue *scan_queue;
    struct watch *watch;
    struct feed *feed;
    struct reports *reports;
    struct notices *notices;
    struct departures *departures;
    struct uploads *uploads;
    struct intruder *intruder;
    struct volumes *volumes;
    struct displaced *displaced;
    struct kept *kept;
    struct keeper *keeper;
    struct root_monitor *root_monitor;
    char *db_path, *listen;
    char *conflicts; /* folder for conflict copies; NULL: beside the file */
    char id[33], timeline[17];

    /* settings that SIGHUP changes */
    struct excludes *_Atomic exclude;
    _Atomic int64_t owner_uid, owner_gid; /* of what mirrors write; -1: as they are */
    _Atomic int64_t max_delete, reserve;  /* delete_guard.h, space.h */
    _Atomic int64_t upload_space;         /* bytes that one mirror may have staged (upload.h) */
    _Atomic int64_t open_ms;              /* a writer may hold a file open; 0: for ever */
    _Atomic int64_t quiet_ms;             /* unchanged for so long: nobody writes (lease.h) */

    atomic_bool scanned; /* the first scan has ended */
    atomic_bool stopping;
};

#endif
