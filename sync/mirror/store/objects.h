/* SPDX-License-Identifier: MIT */
/*
 * objects: struct store as store.c and evict.c see it, the table in memory of verified and held
 * objects, and walks over the files on the disk.
 */
#ifndef EEFS_MIRROR_STORE_OBJECTS_H
#define EEFS_MIRROR_STORE_OBJECTS_H

#include <pthread.h>
#include <sys/stat.h>

#include "sync/mirror/store/store_admin.h"

#define STORE_BUCKETS 4096

/* What is known of one object. */
struct known {
    struct known *next;
    struct hash hash;
    bool verified; /* while the file is as in the stamp */
    struct store_stamp stamp;
    unsigned holds; /* store_hold() less store_let_go() */
    uint64_t held;  /* number of the last hold; 0: never in this process */
};

struct store {
    int dir; /* the cache */
    int staging;
    int64_t limit;
    store_pinned_fn *pinned;
    void *arg;
    store_idle_fn *close_idle; /* constant, as close_arg; NULL: nobody keeps descriptors */
    void *close_arg;

    pthread_mutex_t lock; /* the three below; rename, unlink and utimes of objects */
    int64_t used;         /* bytes of all objects … */
    bool counted;         /* … or of those that could be listed */
    uint64_t last_hold;
    struct known *table[STORE_BUCKETS];

    int64_t vain_used, vain_until; /* store_evict()'s: used and mono ms */

    pthread_mutex_t evict_lock; /* one eviction at a time; taken before lock */
};

#define STORE_OBJECT_CAP 80 /* "objects/ab/" and 62 digits */

/* The object's path below the cache, in out (STORE_OBJECT_CAP bytes), which is returned. */
const char *store_object_path(const struct hash *h, char *out);

/* Where the object is or would be in the table. With the lock. */
struct known **store_slot(struct store *s, const struct hash *h);
/* The object's place in the table, made where there is none. With the lock. */
struct known *store_know_locked(struct store *s, const struct hash *h);
/* Removes an object if it is still the file with that inode (0: any). With the lock. */
bool store_unlink_locked(struct store *s, const struct hash *h, ino_t ino);

/* Calls fn for every object on the disk, in no order. 0; -errno: there may be more, which cannot be listed now. */
typedef void store_each_fn(void *arg, const struct hash *h, const struct stat *st);
int store_each(struct store *s, store_each_fn *fn, void *arg);

/* Adds up the bytes of all objects, unless that was done; what cannot be listed is counted another time. Without
 * the lock. */
void store_count(struct store *s);

/* Free bytes of the filesystem, and how many of them the cache leaves to others and to staging. */
int64_t store_free_bytes(struct store *s, int64_t *reserve);

#endif
