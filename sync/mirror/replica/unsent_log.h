/* SPDX-License-Identifier: MIT */
/*
 * unsent_log: a second record of the data that only this mirror has, CACHE/unsent.log: the
 * operations that the master has not confirmed, and the local-only entries. When replica.db is
 * damaged, lost or replaced by an older one, they are restored from here (their contents are
 * objects of the store).
 *
 * Lines of "<first 16 hex digits of the JSON's SHA-256> JSON":
 *   {"outbox":ID,"master":ID,"next":N}      whose they are; the next number
 *   {"op":{…},"state":"q",…}                an operation as it is now (op.h)
 *   {"gone":N}                              it is in the log no more
 *   {"local":PATH,…} {"local_gone":PATH}    an entry that the exclude list keeps here
 *
 * Appended after each commit, under the replica's lock; written anew when most of it is void. A
 * change that is missing when it is read was not committed, or the disk has lost it.
 */
#ifndef EEFS_MIRROR_REPLICA_UNSENT_LOG_H
#define EEFS_MIRROR_REPLICA_UNSENT_LOG_H

#include <jansson.h>

#include "sync/mirror/replica/db.h"
#include "sync/mirror/replica/touched.h"

struct unsent;

/* Reads the record of a cache; never fails: damaged lines are left out and counted. */
struct unsent *unsent_open(const char *cache);
void unsent_close(struct unsent *u); /* NULL is fine */

/* Its owner ("": none) and the lowest number that was never given out. */
const char *unsent_outbox(const struct unsent *u);
int64_t unsent_next(const struct unsent *u);
/* The number of damaged lines. */
int64_t unsent_damaged(const struct unsent *u);

/* --- while the replica is in use, under its lock --- */

/* From here on changes of `r` are noted. `anew`: the record is written from the replica first. */
int unsent_follow(struct unsent *u, struct replica *r, bool anew);
/* The transaction was committed, or rolled back. */
void unsent_committed(struct unsent *u, bool yes);
/* A descriptor of the record for fdatasync(2), the caller closes it; -1: none. */
int unsent_file(const struct unsent *u);

/* Calls fn for each thing that was read (`local`: an entry that is kept here, else an operation),
 * operations in their order, until it returns non-zero, which is returned. */
typedef int unsent_fn(void *arg, json_t *line, bool local);
int unsent_each(struct unsent *u, unsent_fn *fn, void *arg);
/* Writes the record from the replica; forgets the lines that were read. 0 or -errno. */
int unsent_anew(struct unsent *u);

/* --- unsent_restore.c --- */

/*
 * Restores the changes that were read and are not in the replica, in one transaction, and rewrites
 * the record. has(arg, hash, size) reports whether a content is there; paths without one go into
 * `lost`. The number of restored changes or -errno.
 */
int unsent_put_back(struct replica *r, bool (*has)(void *arg, const struct hash *h, int64_t size),
                    void *arg, struct strlist *lost);

#endif
