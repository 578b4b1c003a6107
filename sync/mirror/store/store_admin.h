/* SPDX-License-Identifier: MIT */
/*
 * store_admin: the store's other face, for the mirror's threads.
 */
#ifndef EEFS_MIRROR_STORE_STORE_ADMIN_H
#define EEFS_MIRROR_STORE_STORE_ADMIN_H

#include "sync/mirror/store/store.h"

/* Returns whether an object must stay (outbox, local paths). Called without any store lock held. */
typedef bool store_pinned_fn(void *arg, const struct hash *h);

/* Opens CACHE/objects and CACHE/staging and adds up the objects' sizes; starts no thread. Then
 * comes store_adopt_leftovers(). Nothing needs to be known of the last shutdown: every object is
 * verified on first use. */
int store_new(const char *cache, int64_t limit, store_pinned_fn *pinned, void *arg,
              struct store **ret, struct err *e);
void store_free(struct store *s);

/* Verifies whatever its size; 0, -ENOENT. For the fetch threads after store_open said -EAGAIN. */
int store_verify(struct store *s, const struct hash *h, int64_t size);

/* One eviction round down to 90 % of the limit when above it; also called by store_make_room. */
void store_evict(struct store *s);

/* Why objects stay beyond the limit: bytes of those that are open, and of those that are not on the
 * master yet or local. Looks at every object. */
void store_explain(struct store *s, int64_t *open_bytes, int64_t *pinned_bytes);

/* Bytes that may be fetched ahead of use without eviction having to undo it; <= 0: none. */
int64_t store_room(struct store *s);

/* The master has this content now: the object bears no path any more. */
void store_forget_path(struct store *s, const struct hash *h);

/* Calls fn for each object that bears a path (store_note_path()). 0; -errno: there may be more, which cannot be
 * read now. */
typedef void store_own_fn(void *arg, const struct hash *h, int64_t size, int64_t mtime,
                          const char *path);
int store_each_own(struct store *s, store_own_fn *fn, void *arg);

/* syncfs of the cache. */
int store_sync(struct store *s);

#endif
