/* SPDX-License-Identifier: MIT */
#include "sqlimport/dump/objects.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

static int compare(const void *a, const void *b)
{
    const struct object *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return strcmp(x->name, y->name);
}

struct dump *dump_new(const struct hash *secret, const struct dialect *dialect)
{
    struct dump *d = xcalloc(1, sizeof(*d));

    d->secret = *secret;
    d->vars = session_vars_new(dialect);
    return d;
}

static void object_free(struct object *o)
{
    free(o->name);
    free(o->table);
    free(o->definer);
    free(o->ddl);
    free(o->ranges);
    strlist_release(&o->parents);
    strlist_release(&o->own);
    hash_stream_free(o->stream);
    rowhash_free(o->rows_stream);
    free(o);
}

static void keep_object(void *node)
{
    (void)node; /* objects are freed by the array */
}

void dump_free(struct dump *d)
{
    if (!d)
        return;
    tdestroy(d->index, keep_object);
    for (size_t i = 0; i < d->n; i++)
        object_free(d->objects[i]);
    free(d->objects);
    free(d->database);
    strlist_release(&d->placeholders);
    session_vars_free(d->vars);
    free(d);
}

struct object *dump_find(const struct dump *d, enum object_kind kind, const char *name)
{
    struct object key = {.kind = kind};
    void *const *node;

    key.name = xstrdup(name);
    node = tfind(&key, &d->index, compare);
    free(key.name);
    return node ? *node : NULL;
}

void object_set_own(struct object *o, const struct strlist *columns)
{
    struct hash_stream *hs = hash_stream_new();

    hash_stream_add(hs, o->hash.b, HASH_BYTES);
    for (size_t i = 0; i < columns->n; i++) {
        strlist_add(&o->own, columns->v[i]);
        hash_stream_add(hs, columns->v[i], strlen(columns->v[i]) + 1);
    }
    hash_stream_end(hs, &o->hash);
    hash_stream_free(hs);
}

bool object_is_table(const struct object *o)
{
    return o->kind == OBJECT_TABLE || o->kind == OBJECT_SEQUENCE;
}

struct object *dump_object(struct dump *d, enum object_kind kind, const char *name)
{
    struct object *o = d->n > 0 ? d->objects[d->n - 1] : NULL;

    if (o && !o->discarded && o->kind == kind && strcmp(o->name, name) == 0)
        return o; /* nearly always: the rows of the table made last */
    o = dump_find(d, kind, name);
    if (o)
        return o;
    d->triggers = d->triggers || kind == OBJECT_TRIGGER;
    o = xcalloc(1, sizeof(*o));
    o->kind = kind;
    o->name = xstrdup(name);
    o->stream = hash_stream_new();
    o->rows_stream = rowhash_new(&d->secret);
    if (!tsearch(o, &d->index, compare))
        abort();
    if (d->n == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 64;
        d->objects = xrealloc(d->objects, d->cap * sizeof(*d->objects));
    }
    return d->objects[d->n++] = o;
}

static void discard(struct dump *d, struct object *o)
{
    tdelete(o, &d->index, compare);
    o->discarded = d->discarded = true;
}

/* Its triggers go with a table. */
static void discard_triggers(struct dump *d, const char *table)
{
    for (size_t i = 0; i < d->n; i++) {
        struct object *o = d->objects[i];
        if (!o->discarded && o->kind == OBJECT_TRIGGER && o->table && strcmp(o->table, table) == 0)
            discard(d, o);
    }
}

void dump_discard(struct dump *d, enum object_kind kind, const char *name)
{
    struct object *o = dump_find(d, kind, name);

    if (!o && kind == OBJECT_TABLE)
        o = dump_find(d, OBJECT_SEQUENCE, name);
    if (!o)
        return;
    discard(d, o);
    if (kind == OBJECT_TABLE && d->triggers)
        discard_triggers(d, name);
}

void dump_remove_discarded(struct dump *d)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->n; i++) {
        if (d->objects[i]->discarded)
            object_free(d->objects[i]);
        else
            d->objects[kept++] = d->objects[i];
    }
    d->n = kept;
}

/* The hash over all is that of the DDL's and the ranges' hashes: the rows are hashed once. */
void dump_end_range(struct object *o)
{
    struct range *g = o->n_ranges > 0 ? &o->ranges[o->n_ranges - 1] : NULL;

    if (!g)
        return;
    rowhash_end(o->rows_stream, g->hash);
    hash_stream_add(o->stream, g->hash, sizeof(g->hash));
}

void object_end(struct object *o)
{
    dump_end_range(o);
    hash_stream_end(o->stream, &o->hash);
}
