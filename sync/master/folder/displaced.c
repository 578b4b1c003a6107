/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/displaced.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/encode.h"
#include "sync/common/file.h"
#include "sync/common/hash.h"
#include "sync/common/worker.h"
#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/volume.h"

/* Between looking a name up and opening it a process that runs needs microseconds. */
#define GRACE_MS 1000

struct displaced {
    struct worker worker;                 /* its lock guards the rest */
    struct displaced_file *first, **last; /* by due time */
};

static void digest_text(const char *path, char *out)
{
    struct hash h;
    struct buf b = BUF_INIT;

    hash_bytes(path, strlen(path), &h);
    hex_encode(&b, h.b, 8);
    snprintf(out, 17, "%s", b.data);
    buf_release(&b);
}

void displaced_name(const char *path, const struct hash *was, const struct hash *now, char *out)
{
    char digest[17], before[HASH_TEXT_CAP], after[HASH_TEXT_CAP];
    uint32_t n;

    digest_text(path, digest);
    file_random(&n, sizeof(n));
    snprintf(out, STAGING_NAME_CAP, "over-%s-%s-%s-%08x", digest, hash_text(was, before) + 3,
             hash_text(now, after) + 3, n);
}

/* "over-", and four numbers of so many digits with a '-' between them. */
static bool has_the_form(const char *name)
{
    static const size_t digits[] = {16, 64, 64, 8};

    if (strncmp(name, "over-", 5) != 0)
        return false;
    name += 5;
    for (size_t i = 0; i < 4; i++) {
        if (strspn(name, "0123456789abcdef") != digits[i])
            return false;
        name += digits[i];
        if (i < 3 && *name++ != '-')
            return false;
    }
    return !*name;
}

static bool parse(const char *name, struct displaced_file *o)
{
    char text[HASH_TEXT_CAP];

    if (!has_the_form(name))
        return false;
    snprintf(text, sizeof(text), "s2-%.64s", name + 22);
    if (hash_parse(text, &o->was) < 0)
        return false;
    snprintf(text, sizeof(text), "s2-%.64s", name + 87);
    if (hash_parse(text, &o->now) < 0)
        return false;
    memcpy(o->name, name, strlen(name) + 1);
    return true;
}

struct displaced_file *displaced_parse(const char *name)
{
    struct displaced_file *f = xcalloc(1, sizeof(*f));

    if (parse(name, f))
        return f;
    free(f);
    return NULL;
}

bool displaced_is_of(const struct displaced_file *f, const char *path)
{
    char digest[17];

    digest_text(path, digest);
    return strncmp(digest, f->name + 5, 16) == 0;
}

void displaced_file_free(struct displaced_file *f)
{
    free(f->path);
    free(f->top);
    free(f);
}

struct displaced *displaced_new(void)
{
    struct displaced *d = xcalloc(1, sizeof(*d));

    worker_init(&d->worker);
    d->last = &d->first;
    return d;
}

void displaced_free(struct displaced *d)
{
    if (!d)
        return;
    for (struct displaced_file *next, *f = d->first; f; f = next) {
        next = f->next;
        displaced_file_free(f);
    }
    worker_release(&d->worker);
    free(d);
}

void displaced_add(struct displaced *d, struct displaced_file *f)
{
    worker_lock(&d->worker);
    f->due = clock_mono_ms() + GRACE_MS;
    f->next = NULL;
    *d->last = f;
    d->last = &f->next;
    worker_wake_locked(&d->worker);
    worker_unlock(&d->worker);
}

void displaced_later(struct folder *folder, const char *name, const char *path,
                     const struct row *was, const struct hash *now)
{
    struct displaced_file *f = xcalloc(1, sizeof(*f));

    snprintf(f->name, sizeof(f->name), "%s", name);
    f->path = xstrdup(path);
    f->top = volume_top(folder, path);
    f->was = was->e.hash;
    f->now = *now;
    displaced_add(folder->displaced, f);
}

struct displaced_file *displaced_take(struct displaced *d)
{
    struct displaced_file *f = NULL;

    worker_lock(&d->worker);
    while (!worker_stopping_locked(&d->worker) && !f) {
        if (d->first && d->first->due <= clock_mono_ms())
            f = d->first;
        else
            worker_wait_locked(&d->worker, d->first ? d->first->due : WORKER_NEVER);
    }
    if (f) {
        d->first = f->next;
        if (!d->first)
            d->last = &d->first;
    }
    worker_unlock(&d->worker);
    return f;
}

void displaced_stop(struct displaced *d)
{
    worker_stop(&d->worker);
}
