/* SPDX-License-Identifier: MIT */
/*
 * master: the state that the parts of `eefs-master serve` share. Made by serve.c before any thread
 * starts, released after all have ended.
 *
 * Threads: HTTP workers (http/server.c), the timer of polls (http/feed.c), connections, the committer,
 * its carriers (folder/carry.c) and syncers, scan workers, the watcher (scan/watch.c), root_monitor, settle,
 * keeper, checkpoint, recheck (commit/disk_check.c), the control socket, and main (signals, systemd).
 * Only the committer writes entries.
 */
#ifndef EEFS_MASTER_MASTER_H
#define EEFS_MASTER_MASTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct delete_guard;
struct carrier;
struct checkpoint;
struct committer;
struct readers;
struct departures;
struct feed;
struct folder;
struct head;
struct intruder;
struct keeper;
struct root_monitor;
struct reports;
struct syncer;
struct notices;
struct tree;
struct wanted;
struct watch;

struct master {
    /* constant while threads run */
    struct folder *folder; /* with its settings */
    struct tree *tree;     /* the committer's */
    struct readers *readers;
    struct checkpoint *checkpoint;
    struct head *head;
    struct committer *committer;
    struct carrier *carrier, *copier; /* to other filesystems; to the store, which is soon done */
    struct syncer *syncer;            /* the committer's, as the next */
    struct delete_guard *delete_guard;
    struct watch *watch;
    struct feed *feed;
    struct reports *reports;
    struct wanted *wanted;
    struct notices *notices;
    struct departures *departures;
    struct intruder *intruder;
    struct keeper *keeper;
    struct root_monitor *root_monitor;
    char *db_path, *listen;
    char id[33], timeline[17];

    /* settings that SIGHUP changes; more are in struct folder */
    _Atomic int64_t max_delete; /* delete_guard.h */
    _Atomic int64_t open_ms;    /* time that a writer may hold a file open; 0: for ever */

    atomic_bool scanned; /* the first scan has ended */
    atomic_bool stopping;
    atomic_bool recovering; /* recovery/recover.h */
};

#endif
