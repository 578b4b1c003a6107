/* SPDX-License-Identifier: MIT */
/*
 * wanted: contents that `eefs-master recover` waits for, in memory. Each is asked of one mirror at a
 * time; of another one when that has not brought it for WANTED_MS. Thread safe.
 */
#ifndef EEFS_MASTER_DB_WANTED_H
#define EEFS_MASTER_DB_WANTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/common/hash.h"

#define WANTED_MS 20000

struct wanted;

struct wanted *wanted_new(void);
void wanted_free(struct wanted *w);
/* Puts it on the list. `any`: every mirror may have it, else those for which has() of wanted_for()
 * says so. */
void wanted_add(struct wanted *w, const struct hash *h, bool any);
/* The mirror does not have it: others are asked. */
void wanted_lacks(struct wanted *w, const char *mirror, const struct hash *h);
/* No mirror that is in contact has it. */
bool wanted_in_vain(struct wanted *w, const struct hash *h);
/* Takes it off. */
void wanted_remove(struct wanted *w, const struct hash *h);
/* Contents to ask of `mirror` now, at most `max`, into `ret`. has() is called with the list's lock
 * held. Returns their number. */
size_t wanted_for(struct wanted *w, const char *mirror,
                  bool (*has)(void *arg, const struct hash *h), void *arg, struct hash *ret,
                  size_t max);

#endif
