/* SPDX-License-Identifier: MIT */
/* A hash table of the paths and of all folders above them, the latter marked as such. */
#include "sync/mirror/replica/pathset.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/hash.h"
#include "sync/common/buf.h"

#define BUCKETS_MIN 64

struct item {
    struct item *next;
    bool member; /* else only a folder above one */
    size_t len;
    char path[];
};

struct pathset {
    struct item **bucket;
    size_t n_buckets, n; /* n_buckets: a power of two */
};

static size_t hash_of(const char *path, size_t len)
{
    uint64_t h = hash64(path, len);

    return (size_t)(h ^ h >> 32);
}

static struct item *find(const struct pathset *s, const char *path, size_t len)
{
    struct item *i = s->bucket[hash_of(path, len) & (s->n_buckets - 1)];

    while (i && (i->len != len || memcmp(i->path, path, len) != 0))
        i = i->next;
    return i;
}

/* Length of the folder that holds the path of that length. */
static size_t above(const char *path, size_t len)
{
    while (len > 0 && path[len - 1] != '/')
        len--;
    return len > 0 ? len - 1 : 0;
}

struct pathset *pathset_new(void)
{
    struct pathset *s = xcalloc(1, sizeof(*s));

    s->n_buckets = BUCKETS_MIN;
    s->bucket = xcalloc(s->n_buckets, sizeof(struct item *));
    return s;
}

void pathset_free(struct pathset *s)
{
    if (!s)
        return;
    for (size_t b = 0; b < s->n_buckets; b++) {
        for (struct item *i = s->bucket[b], *next; i; i = next) {
            next = i->next;
            free(i);
        }
    }
    free(s->bucket);
    free(s);
}

static void grow(struct pathset *s)
{
    struct item **old = s->bucket;
    size_t n_old = s->n_buckets;

    s->n_buckets *= 2;
    s->bucket = xcalloc(s->n_buckets, sizeof(struct item *));
    for (size_t b = 0; b < n_old; b++) {
        for (struct item *i = old[b], *next; i; i = next) {
            struct item **to = &s->bucket[hash_of(i->path, i->len) & (s->n_buckets - 1)];
            next = i->next;
            i->next = *to;
            *to = i;
        }
    }
    free(old);
}

static struct item *enter(struct pathset *s, const char *path, size_t len)
{
    struct item *i = find(s, path, len), **to;

    if (i)
        return i;
    if (++s->n > s->n_buckets)
        grow(s);
    to = &s->bucket[hash_of(path, len) & (s->n_buckets - 1)];
    i = xcalloc(1, sizeof(*i) + len);
    i->len = len;
    memcpy(i->path, path, len);
    i->next = *to;
    *to = i;
    return i;
}

void pathset_add(struct pathset *s, const char *path)
{
    size_t len = strlen(path);

    enter(s, path, len)->member = true;
    while (len > 0) {
        len = above(path, len);
        enter(s, path, len);
    }
}

bool pathset_covers(const struct pathset *s, const char *path)
{
    for (size_t len = strlen(path);; len = above(path, len)) {
        const struct item *i = find(s, path, len);

        if (i && i->member)
            return true;
        if (len == 0)
            return false;
    }
}

bool pathset_below(const struct pathset *s, const char *path)
{
    return find(s, path, strlen(path)) != NULL;
}
