/* SPDX-License-Identifier: MIT */
/*
 * answers: the answers to the operations of each outbox of each mirror, so that a repeated
 * operation gets the same answer and makes no second change. The newest ANSWERS_KEPT of an outbox
 * stay. Writes are part of the caller's transaction.
 */
#ifndef EEFS_MASTER_DB_ANSWERS_H
#define EEFS_MASTER_DB_ANSWERS_H

#include "sync/common/db.h"

#define ANSWERS_KEPT 2000 /* a mirror repeats far fewer */

enum answers_found {
    ANSWERS_NEW,   /* a higher number than all before */
    ANSWERS_SAME,  /* answered before */
    ANSWERS_OTHER, /* that number belongs to another operation, or to one whose answer is not kept */
};

/* Looks for operation `n` of the outbox. With ANSWERS_SAME *answer is its text, malloc'd. enum
 * answers_found or -errno. */
int answers_find(struct db *db, const char *mirror, const char *outbox, int64_t n,
                 const struct hash *digest, char **answer);
/* 0 or -errno. */
int answers_add(struct db *db, const char *mirror, const char *outbox, int64_t n,
                const struct hash *digest, const char *answer);
/* The mirror is removed: 0 or -errno. */
int answers_forget(struct db *db, const char *mirror);

#endif
