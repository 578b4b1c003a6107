/* SPDX-License-Identifier: MIT */
/*
 * store: content files on this mirror's disk, and staging.
 *
 *   CACHE/objects/ab/<62 hex>   verified content, mode 0400, named by SHA-256; never changed
 *   CACHE/staging/<random>      content being written here or fetched; never evicted
 *
 * Clean content is evicted least recently used (file atime, set on use); content that the outbox or
 * a local path names is pinned. An object is verified by hash on first use in this process, and
 * again when its inode, size, mtime or ctime has changed: a corrupt one counts as missing, and is
 * removed unless it is pinned. Thread safe.
 */
#ifndef EEFS_MIRROR_STORE_STORE_H
#define EEFS_MIRROR_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sync/common/err.h"
#include "sync/common/hash.h"

struct store;

/* 1: the object's file exists with that size (not verified); 0: it does not; -errno: that cannot be known. */
int store_look(struct store *s, const struct hash *h, int64_t size);
/* True when it is known to exist. */
bool store_has(struct store *s, const struct hash *h, int64_t size);

/* How many blocks of 512 bytes it takes; -1: not here. */
int64_t store_blocks(struct store *s, const struct hash *h);

/*
 * Opens an object for reading: fd, or -ENOENT (missing or thrown away), -EAGAIN when it still has
 * to be verified and is larger than `verify_max` bytes (0: any size needs someone else to do it;
 * INT64_MAX: verify here, however long). The caller closes the fd.
 */
int store_open(struct store *s, const struct hash *h, int64_t size, int64_t verify_max);

/* What an object's file was when it was verified. */
struct store_stamp {
    ino_t ino;
    off_t size;
    int64_t mtime, ctime; /* ns */
    int64_t touched_ms;   /* when its use was noted, clock_mono_ms(); 0: never in this process */
};

/*
 * store_open() for a caller that keeps the descriptor after its use. As long as store_unchanged()
 * says so, it is as good as one that store_open() would give; else the caller closes it.
 */
int store_open_stamped(struct store *s, const struct hash *h, int64_t size, int64_t verify_max,
                       struct store_stamp *ret);
bool store_unchanged(const struct store_stamp *stamp, int fd);

/*
 * fn(arg) closes all descriptors that are kept for later use; an eviction calls it, without a lock,
 * for what is open is not evicted. Set before threads start.
 */
typedef void store_idle_fn(void *arg);
void store_on_evict(struct store *s, store_idle_fn *fn, void *arg);

/* A new empty staging file: fd (O_RDWR) and its name (malloc'd, caller frees). -ENOSPC after
 * eviction could not help. */
int store_stage(struct store *s, char **name);

/*
 * Publishes a staging file as object `h` (rename, mode 0400); the name is gone afterwards. The
 * caller has verified that h is the hash of its bytes and lets nobody write to it any more. With
 * `durable`: fsync of file and folder before.
 */
int store_publish(struct store *s, const char *name, const struct hash *h, bool durable);

/*
 * Keeps the object of that name, whether it is there already or not, from being evicted until as
 * many store_let_go() have come. A writer holds from before store_publish until the operation that
 * names the content is logged; from then on the outbox pins it.
 */
void store_hold(struct store *s, const struct hash *h);
void store_let_go(struct store *s, const struct hash *h);

/*
 * For content that a program has closed, but that cannot be logged now: if this process ends before
 * it is logged, the next one finds it (leftovers.h). store_keep() gives the staging file *name
 * another name, in its place in *name (malloc'd, as before). store_keep_object() gives an object a
 * name in staging besides its own, in *name (malloc'd, the caller frees), for store_discard() when
 * all is well. 0 or -errno: the content stays where it is.
 */
int store_keep(struct store *s, char **name);
int store_keep_object(struct store *s, const struct hash *h, char **name);

/* Removes a staging file. */
void store_discard(struct store *s, const char *name);

/* Bytes used by objects and staging, cache_size, free bytes of the filesystem. */
void store_usage(struct store *s, int64_t *used, int64_t *limit, int64_t *fs_free);

/* Evicts clean content until `need` more bytes are free on the filesystem; evicts nothing when that
 * cannot be reached. Called after ENOSPC, before the one retry. */
void store_make_room(struct store *s, int64_t need);

/* Records on a staging file that is open as fd the path under which it was written, for the case
 * that no database knows it (xattr user.eefs.path; left out where the filesystem has no xattrs). */
void store_note_path(int fd, const char *path);

#endif
