/* SPDX-License-Identifier: MIT */
#include "sync/master/db/wanted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/opt.h"
#include "sync/common/thread.h"
#include "sync/master/db/registry.h"

#define VAIN_MS 4000 /* every mirror in contact has asked what is wanted within that */

struct item {
    struct hash hash;
    bool any;
    char asked[MIRROR_NAME_CAP]; /* "": nobody yet */
    int64_t at;                  /* mono ms of that */
    struct strlist lack;         /* mirrors that do not have it */
    int64_t lacked;              /* mono ms when one said so last; 0: none */
};

struct wanted {
    pthread_mutex_t lock; /* guards the list */
    struct item *v;
    size_t n, cap;
};

struct wanted *wanted_new(void)
{
    struct wanted *w = xcalloc(1, sizeof(*w));

    mutex_init(&w->lock);
    return w;
}

void wanted_free(struct wanted *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++)
        strlist_release(&w->v[i].lack);
    mutex_destroy(&w->lock);
    free(w->v);
    free(w);
}

void wanted_add(struct wanted *w, const struct hash *h, bool any)
{
    mutex_lock(&w->lock);
    if (w->n == w->cap) {
        w->cap = w->cap * 2 + 64;
        w->v = xrealloc(w->v, w->cap * sizeof(*w->v));
    }
    w->v[w->n++] = (struct item){.hash = *h, .any = any};
    mutex_unlock(&w->lock);
}

static struct item *find_locked(struct wanted *w, const struct hash *h)
{
    for (size_t i = 0; i < w->n; i++)
        if (hash_eq(&w->v[i].hash, h))
            return &w->v[i];
    return NULL;
}

void wanted_remove(struct wanted *w, const struct hash *h)
{
    struct item *x;

    mutex_lock(&w->lock);
    x = find_locked(w, h);
    if (x) {
        strlist_release(&x->lack);
        memmove(x, x + 1, (size_t)(&w->v[--w->n] - x) * sizeof(*x));
    }
    mutex_unlock(&w->lock);
}

static bool lacks(const struct item *x, const char *mirror)
{
    for (size_t i = 0; i < x->lack.n; i++)
        if (strcmp(x->lack.v[i], mirror) == 0)
            return true;
    return false;
}

void wanted_lacks(struct wanted *w, const char *mirror, const struct hash *h)
{
    struct item *x;

    mutex_lock(&w->lock);
    x = find_locked(w, h);
    if (x && !lacks(x, mirror)) {
        strlist_add(&x->lack, mirror);
        x->lacked = clock_mono_ms();
        if (strcmp(x->asked, mirror) == 0)
            x->asked[0] = '\0';
    }
    mutex_unlock(&w->lock);
}

bool wanted_in_vain(struct wanted *w, const struct hash *h)
{
    struct item *x;
    bool yes;

    mutex_lock(&w->lock);
    x = find_locked(w, h);
    yes = x && x->lacked && !*x->asked && clock_mono_ms() - x->lacked > VAIN_MS;
    mutex_unlock(&w->lock);
    return yes;
}

size_t wanted_for(struct wanted *w, const char *mirror,
                  bool (*has)(void *arg, const struct hash *h), void *arg, struct hash *ret,
                  size_t max)
{
    int64_t now = clock_mono_ms();
    size_t n = 0;

    mutex_lock(&w->lock);
    for (size_t i = 0; i < w->n && n < max; i++) {
        struct item *x = &w->v[i];
        bool mine = strcmp(x->asked, mirror) == 0;

        if (*x->asked && !mine && now - x->at < WANTED_MS)
            continue;
        if (lacks(x, mirror) || (!x->any && !has(arg, &x->hash)))
            continue;
        if (!mine) {
            snprintf(x->asked, sizeof(x->asked), "%s", mirror);
            x->at = now;
        } else if (now - x->at >= WANTED_MS) { /* another one may have it */
            x->asked[0] = '\0';
            continue;
        }
        ret[n++] = x->hash;
    }
    mutex_unlock(&w->lock);
    return n;
}
