/* SPDX-License-Identifier: MIT */
/*
 * notices: paths that status lists because they are not published as they are, or because their
 * names differ only by case or normalisation. Kept in memory: the first scan finds them again.
 * Thread safe; at most NOTICES_MAX of a kind, the rest is only counted.
 */
#ifndef EEFS_MASTER_FOLDER_NOTICES_H
#define EEFS_MASTER_FOLDER_NOTICES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define NOTICES_MAX 1000

enum notice {
    NOTICE_OPEN,       /* a writer has the file open: published when it is closed */
    NOTICE_UNREADABLE, /* cannot be read: not published, or no longer */
    NOTICE_SKIPPED,    /* of a type or length that is not served */
    NOTICE_COLLISION,  /* names in one folder that differ only by case or normalisation */
    NOTICE_KINDS
};

struct notices;

struct notices *notices_new(void);
void notices_free(struct notices *n);
/* Returns true when it is new; otherwise the time of its first notice stays. */
bool notices_set(struct notices *n, enum notice kind, const char *path, const char *text);
/* Milliseconds since the first time; 0: it is not there. */
int64_t notices_age(struct notices *n, enum notice kind, const char *path);
void notices_clear(struct notices *n, enum notice kind, const char *path);
/* NOTICE_COLLISION of the names in one folder. */
void notices_clear_collisions(struct notices *n, const char *dir);
/* All kinds but NOTICE_COLLISION; of a folder that is gone: all below, too. */
void notices_clear_path(struct notices *n, const char *path, bool below);
/* How many there are, and milliseconds since the oldest (0 when none; may be NULL). */
int64_t notices_count(struct notices *n, enum notice kind, int64_t *oldest_ms);
/* {"open":[{"path","text","since"}…],"unreadable":…,"skipped":…,"alike":…}, up to `max` of each. */
json_t *notices_report(struct notices *n, int max);
/* Calls fn for each path that is listed (to look at it again); no lock is held. */
void notices_each(struct notices *n, void (*fn)(void *arg, const char *path), void *arg);

#endif
