/* SPDX-License-Identifier: MIT */
/*
 * folder: the served folder as the files of this room see it. Made by serve.c before any thread
 * starts; the pointers are constant while threads run.
 */
#ifndef EEFS_MASTER_FOLDER_FOLDER_H
#define EEFS_MASTER_FOLDER_FOLDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sync/common/opt.h"

struct displaced;
struct kept;
struct root;
struct scan_queue;
struct uploads;
struct volumes;

/* Patterns of what is not shared. Immutable; an older list is kept, for somebody may read it. */
struct excludes {
    struct strlist list;
    struct excludes *older;
};

/* Bytes of a file that are read in the committer's thread; it holds up everybody. */
#define FOLDER_READ_MAX (8 << 20)

struct folder {
    struct root *root;
    struct volumes *volumes;
    struct scan_queue *scan_queue;
    struct uploads *uploads;
    struct displaced *displaced;
    struct kept *kept;
    const char *db_path; /* the database: its disk must have room, too */
    char *conflicts;     /* folder for conflict copies; NULL: beside the file */

    /* settings that SIGHUP changes */
    struct excludes *_Atomic exclude;
    _Atomic int64_t owner_uid, owner_gid; /* of what mirrors write; -1: as they are */
    _Atomic int64_t reserve;              /* space.h */
    _Atomic int64_t upload_space;         /* bytes that one mirror may have staged (upload.h) */
    _Atomic int64_t quiet_ms;             /* unchanged for so long: nobody writes (lease.h) */
};

#endif
