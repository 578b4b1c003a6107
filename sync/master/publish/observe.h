/* SPDX-License-Identifier: MIT */
/*
 * observe: an observation of the scan workers at a path, on its way into the tree.
 */
#ifndef EEFS_MASTER_PUBLISH_OBSERVE_H
#define EEFS_MASTER_PUBLISH_OBSERVE_H

#include <sys/stat.h>

#include "sync/common/hash.h"
#include "sync/master/master.h"

/* What was seen at a path. */
struct observation {
    char *path; /* owned */
    bool gone;
    struct stat st;
    struct hash hash; /* files */
    char *target;     /* owned; links */
    int64_t seen;     /* wall ns before the content was read */
    bool listed;      /* folders: its names were looked at … */
    bool hides;       /* … and some are not served */
    bool unverified;  /* the hash is taken from another row (rename.h); the content is read later */
};

/* NULL is fine. */
void observation_free(struct observation *o);
/*
 * Publishes it if the file is unchanged since; else the path is queued again, and a deletion waits
 * in the delete guard. Committer's thread. 0 or -errno of the database.
 */
int observe(struct master *m, struct observation *o);

#endif
