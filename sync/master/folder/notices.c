/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/notices.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/opt.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"

struct one {
    struct one *next;
    enum notice kind;
    int64_t since, mono_ms; /* wall ns; the same in clock_mono_ms() */
    char *text;
    char path[];
};

struct notices {
    atomic_int all; /* so that nothing costs nothing */
    pthread_mutex_t lock;
    struct one *first;
    int64_t n[NOTICE_KINDS], more[NOTICE_KINDS];
};

struct notices *notices_new(void)
{
    struct notices *n = xcalloc(1, sizeof(*n));

    mutex_init(&n->lock);
    return n;
}

static void remove_locked(struct notices *n, struct one **at)
{
    struct one *o = *at;

    *at = o->next;
    n->n[o->kind]--;
    n->all--;
    free(o->text);
    free(o);
}

void notices_free(struct notices *n)
{
    if (!n)
        return;
    while (n->first)
        remove_locked(n, &n->first);
    mutex_destroy(&n->lock);
    free(n);
}

static struct one **find_locked(struct notices *n, enum notice kind, const char *path)
{
    struct one **at = &n->first;

    while (*at && ((*at)->kind != kind || strcmp((*at)->path, path) != 0))
        at = &(*at)->next;
    return at;
}

bool notices_set(struct notices *n, enum notice kind, const char *path, const char *text)
{
    struct one *o;
    bool added = false;

    mutex_lock(&n->lock);
    o = *find_locked(n, kind, path);
    if (o) {
        free(o->text);
        o->text = xstrdup(text);
    } else if (n->n[kind] >= NOTICES_MAX) {
        n->more[kind]++;
    } else {
        size_t len = strlen(path) + 1;
        o = xcalloc(1, sizeof(*o) + len);
        memcpy(o->path, path, len);
        o->kind = kind;
        o->text = xstrdup(text);
        o->since = clock_wall_ns();
        o->mono_ms = clock_mono_ms();
        o->next = n->first;
        n->first = o;
        n->n[kind]++;
        n->all++;
        added = true;
    }
    mutex_unlock(&n->lock);
    return added;
}

int64_t notices_age(struct notices *n, enum notice kind, const char *path)
{
    struct one *o;
    int64_t ms;

    mutex_lock(&n->lock);
    o = *find_locked(n, kind, path);
    ms = o ? clock_mono_ms() - o->mono_ms : 0;
    mutex_unlock(&n->lock);
    return ms;
}

void notices_clear(struct notices *n, enum notice kind, const char *path)
{
    struct one **at;

    if (n->all == 0)
        return;
    mutex_lock(&n->lock);
    at = find_locked(n, kind, path);
    if (*at)
        remove_locked(n, at);
    mutex_unlock(&n->lock);
}

void notices_clear_collisions(struct notices *n, const char *dir)
{
    size_t len = strlen(dir);
    struct one **at;

    if (n->all == 0)
        return;
    mutex_lock(&n->lock);
    for (at = &n->first; *at;) {
        const char *path = (*at)->path;

        if ((*at)->kind == NOTICE_COLLISION && path_parent_len(path) == len &&
            strncmp(path, dir, len) == 0)
            remove_locked(n, at);
        else
            at = &(*at)->next;
    }
    mutex_unlock(&n->lock);
}

void notices_clear_path(struct notices *n, const char *path, bool below)
{
    struct one **at;

    if (n->all == 0)
        return;
    mutex_lock(&n->lock);
    for (at = &n->first; *at;) {
        bool it = (*at)->kind != NOTICE_COLLISION && strcmp((*at)->path, path) == 0;

        if (it || (below && path_is_under((*at)->path, path)))
            remove_locked(n, at);
        else
            at = &(*at)->next;
    }
    mutex_unlock(&n->lock);
}

int64_t notices_count(struct notices *n, enum notice kind, int64_t *oldest_ms)
{
    int64_t count, oldest = INT64_MAX;

    mutex_lock(&n->lock);
    count = n->n[kind] + (n->n[kind] >= NOTICES_MAX ? n->more[kind] : 0);
    for (struct one *o = n->first; o; o = o->next)
        if (o->kind == kind && o->mono_ms < oldest)
            oldest = o->mono_ms;
    mutex_unlock(&n->lock);
    if (oldest_ms)
        *oldest_ms = count ? clock_mono_ms() - oldest : 0;
    return count;
}

json_t *notices_report(struct notices *n, int max)
{
    static const char *const names[] = {"open", "unreadable", "skipped", "alike"};
    json_t *all = json_object(), *lists[NOTICE_KINDS];

    for (int i = 0; i < NOTICE_KINDS; i++) {
        lists[i] = json_array();
        json_object_set_new(all, names[i], lists[i]);
    }
    mutex_lock(&n->lock);
    for (struct one *o = n->first; o; o = o->next) {
        char *path, since[32];

        if ((int)json_array_size(lists[o->kind]) >= max)
            continue;
        path = path_encoded(o->path);
        json_array_append_new(lists[o->kind],
                              json_pack("{s:s,s:s,s:s}", "path", path, "text", o->text, "since",
                                        clock_text(o->since, since)));
        free(path);
    }
    mutex_unlock(&n->lock);
    return all;
}

void notices_each(struct notices *n, void (*fn)(void *arg, const char *path), void *arg)
{
    struct strlist paths = {0};

    mutex_lock(&n->lock);
    memset(n->more, 0, sizeof(n->more));
    for (struct one *o = n->first; o; o = o->next)
        if (o->kind != NOTICE_COLLISION)
            strlist_add(&paths, o->path);
    mutex_unlock(&n->lock);
    for (size_t i = 0; i < paths.n; i++)
        fn(arg, paths.v[i]);
    strlist_release(&paths);
}
