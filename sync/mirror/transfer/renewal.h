/* SPDX-License-Identifier: MIT */
/*
 * renewal: when the database of the cache is rebuilt, and what the new one gets besides the
 * master's listing. pull.c rebuilds it.
 */
#ifndef EEFS_MIRROR_TRANSFER_RENEWAL_H
#define EEFS_MIRROR_TRANSFER_RENEWAL_H

#include <stdbool.h>
#include <stdint.h>

#include "sync/common/err.h"
#include "sync/common/hash.h"

struct mirror;

/* True when a damaged database was found and is not rebuilt yet; false also when it was rebuilt so
 * often that a person must check the disk first (*given_up, may be NULL). Any thread. */
bool renewal_is_due(struct mirror *m, bool *given_up);

/* replica_has_fn of the mirror's replica; `mirror` is the struct mirror. */
bool renewal_has_content(void *mirror, const struct hash *h, int64_t size);

/* Puts changes that a damaged or lost replica.db had into the one that is open; contents that are
 * not in the cache any more are a fault (FAULT_LOST). 0 or -errno with e. Before threads start, or
 * from pull. */
int renewal_put_back(struct mirror *m, struct err *e);

/* The same after the first listing of a new database: where there is no record of changes, contents
 * that no database knows are offered for salvage (FAULT_LOST). */
int renewal_complete(struct mirror *m, struct err *e);

/* At the mount, when the base is there: offers the contents that the last mount could not log
 * (FAULT_LOST). */
void renewal_offer(struct mirror *m);

#endif
