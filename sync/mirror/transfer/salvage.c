/* SPDX-License-Identifier: MIT */
/*
 * salvage: contents that were written on this mirror, are still in its store, and that neither the
 * master's tree nor a pending change has: a lost replica.db and record can leave such contents
 * behind. Each object bears the path under which it was written (store_note_path()). They are clean
 * to the store, which evicts them when it is full.
 */
#include "sync/mirror/transfer/salvage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/encode.h"
#include "sync/common/path.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/store/store_admin.h"
#include "sync/mirror/transfer/context.h"

struct own {
    struct hash hash;
    char *path;
    int64_t size, mtime;
    bool known; /* the base has it */
};

struct owns {
    struct own *v;
    size_t n, cap;
};

static void add_own(void *arg, const struct hash *h, int64_t size, int64_t mtime, const char *path)
{
    struct owns *l = arg;

    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
    }
    l->v[l->n++] = (struct own){*h, xstrdup(path), size, mtime, false};
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(&((const struct own *)a)->hash, &((const struct own *)b)->hash,
                  sizeof(struct hash));
}

static int mark_known(void *arg, const char *path, const struct hash *h, int64_t size)
{
    struct owns *l = arg;
    struct own key = {.hash = *h}, *found = NULL;

    (void)path;
    (void)size;
    if (l->n > 0)
        found = bsearch(&key, l->v, l->n, sizeof(key), by_hash);
    if (found)
        found->known = true;
    return 0;
}

static json_t *report(struct mirror *m, const struct own *o)
{
    char *path = path_encoded(o->path), text[HASH_TEXT_CAP], *file;
    struct buf hex = BUF_INIT;
    json_t *v;

    hex_encode(&hex, o->hash.b, HASH_BYTES);
    file = xasprintf("%s/objects/%.2s/%s", m->cfg.cache, hex.data, hex.data + 2);
    v = json_pack("{s:s,s:s,s:s,s:I,s:I}", "path", path, "hash", hash_text(&o->hash, text), "file",
                  file, "size", (json_int_t)o->size, "time", (json_int_t)o->mtime);
    buf_release(&hex);
    free(file);
    free(path);
    return v;
}

json_t *salvage_list(struct mirror *m, int *error)
{
    struct owns l = {NULL, 0, 0};
    json_t *list = json_array();

    *error = store_each_own(m->store, add_own, &l);
    if (l.n > 0)
        qsort(l.v, l.n, sizeof(*l.v), by_hash);
    /* What cannot be known is offered. */
    (void)replica_each_content(m->replica, mark_known, &l);
    for (size_t i = 0; i < l.n; i++) {
        if (!l.v[i].known && !replica_pins(m->replica, &l.v[i].hash))
            json_array_append_new(list, report(m, &l.v[i]));
        free(l.v[i].path);
    }
    free(l.v);
    return list;
}
