/* SPDX-License-Identifier: MIT */
/*
 * Two heads walk along the lists. Equal keys pair off at once. Where they differ, each row waits in
 * a tree until its partner shows up in the other list; a head whose partner waits already moves on
 * alone, so that after an insertion the heads are level again:
 *
 *   old   a b c d        a=a, then x and b wait; b finds its partner and only the new head moves:
 *   new   a x b c d      level again. What still waits at the end was deleted or inserted.
 */
#include "sqlimport/compare/row_diff.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct waiting {
    struct row_id id; /* first: trees compare by it */
    struct row_place place;
    unsigned char key[];
};

struct walk {
    struct row_diff *d;
    void *old_tree, *new_tree; /* tsearch(3), of struct waiting */
    size_t n_waiting, max;
    struct row_id old_id, new_id;
    struct row_place place;
    bool have_old, have_new;
};

static int compare(const void *a, const void *b)
{
    return row_key_compare(a, b);
}

static void *grow(void *array, size_t n, size_t size)
{
    return (n & (n - 1)) ? array : xrealloc(array, (n ? 2 * n : 1) * size);
}

static void add_old(struct row_diff *d, const struct row_id *id)
{
    struct old_row *o;
    unsigned char *key = xmalloc(id->key_len + 1);

    d->old_rows = grow(d->old_rows, d->n_old, sizeof(*d->old_rows));
    o = &d->old_rows[d->n_old++];
    o->id = *id;
    memcpy(key, id->key, id->key_len);
    o->id.key = key;
}

static void add_new(struct row_diff *d, const struct row_id *id, const struct row_place *place)
{
    struct new_row *n;

    d->new_rows = grow(d->new_rows, d->n_new, sizeof(*d->new_rows));
    n = &d->new_rows[d->n_new++];
    n->place = *place;
    memcpy(n->hash, id->hash, ROW_HASH_BYTES);
    d->bytes += place->len;
}

static void pair(struct row_diff *d, const struct row_id *old, const struct row_id *new,
                 const struct row_place *place)
{
    if (memcmp(old->hash, new->hash, ROW_HASH_BYTES) == 0)
        return;
    add_old(d, old);
    add_new(d, new, place);
    d->updated++;
}

static int wait_in(struct walk *w, void **tree, const struct row_id *id,
                   const struct row_place *place, struct err *e)
{
    struct waiting *x = xmalloc(sizeof(*x) + id->key_len + 1), **node;

    x->id = *id;
    memcpy(x->key, id->key, id->key_len);
    x->id.key = x->key;
    if (place)
        x->place = *place;
    node = tsearch(x, tree, compare);
    if (!node)
        abort();
    if (*node != x) {
        free(x);
        return err_set(e, EPROTO, "a key comes twice");
    }
    w->n_waiting++;
    return 0;
}

static struct waiting *find(void *const *tree, const struct row_id *id)
{
    void *const *node = *tree ? tfind(id, tree, compare) : NULL;

    return node ? *node : NULL;
}

static void forget(struct walk *w, void **tree, struct waiting *x)
{
    tdelete(x, tree, compare);
    free(x);
    w->n_waiting--;
}

/* One step; which heads were used up is told by have_old and have_new. */
static int step(struct walk *w, struct err *e)
{
    struct waiting *x;
    int r = 0;

    if (w->have_old && w->have_new && row_key_compare(&w->old_id, &w->new_id) == 0) {
        pair(w->d, &w->old_id, &w->new_id, &w->place);
        w->have_old = w->have_new = false;
    } else if (w->have_new && (x = find(&w->old_tree, &w->new_id))) {
        pair(w->d, &x->id, &w->new_id, &w->place);
        forget(w, &w->old_tree, x);
        w->have_new = false;
    } else if (w->have_old && (x = find(&w->new_tree, &w->old_id))) {
        pair(w->d, &w->old_id, &x->id, &x->place);
        forget(w, &w->new_tree, x);
        w->have_old = false;
    } else {
        if (w->have_new)
            r = wait_in(w, &w->new_tree, &w->new_id, &w->place, e);
        if (w->have_old && r == 0)
            r = wait_in(w, &w->old_tree, &w->old_id, NULL, e);
        w->have_old = w->have_new = false;
    }
    return r;
}

/* Takes the trees apart: with `keep` their rows are deleted and inserted ones. */
static void finish(struct walk *w, bool keep)
{
    while (w->old_tree) {
        struct waiting *x = *(struct waiting **)w->old_tree;
        if (keep)
            add_old(w->d, &x->id);
        w->d->deleted += keep;
        forget(w, &w->old_tree, x);
    }
    while (w->new_tree) {
        struct waiting *x = *(struct waiting **)w->new_tree;
        if (keep)
            add_new(w->d, &x->id, &x->place);
        w->d->inserted += keep;
        forget(w, &w->new_tree, x);
    }
}

static int by_order(const void *a, const void *b)
{
    const struct old_row *x = a, *y = b;

    return row_key_order(&x->id, &y->id);
}

int row_diff_make(struct row_diff *ret, row_source *old, void *old_arg, row_source *new,
                  void *new_arg, size_t max, struct err *e)
{
    struct walk w = {.d = ret};
    bool more_old = true, more_new = true;
    int r = 0;

    memset(ret, 0, sizeof(*ret));
    while (r == 0) {
        if (!w.have_old && more_old && (r = old(old_arg, &w.old_id, NULL, e)) >= 0) {
            more_old = w.have_old = r == 1;
            r = 0;
        }
        if (r == 0 && !w.have_new && more_new && (r = new (new_arg, &w.new_id, &w.place, e)) >= 0) {
            more_new = w.have_new = r == 1;
            r = 0;
        }
        if (r < 0 || (!w.have_old && !w.have_new))
            break;
        r = step(&w, e);
        if (r == 0 && w.n_waiting + ret->n_old + ret->n_new > 2 * max)
            r = err_set(e, E2BIG, "more than %zu rows differ", max);
    }
    finish(&w, r == 0);
    if (ret->n_old > 0)
        qsort(ret->old_rows, ret->n_old, sizeof(*ret->old_rows), by_order);
    if (r == 0 && ret->n_old + ret->n_new > 2 * max)
        r = err_set(e, E2BIG, "more than %zu rows differ", max);
    return r;
}

void row_diff_release(struct row_diff *d)
{
    for (size_t i = 0; i < d->n_old; i++)
        free((void *)(uintptr_t)d->old_rows[i].id.key);
    free(d->old_rows);
    free(d->new_rows);
    memset(d, 0, sizeof(*d));
}
