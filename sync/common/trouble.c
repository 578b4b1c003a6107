/* SPDX-License-Identifier: MIT */
#include "sync/common/trouble.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/printable.h"
#include "sync/common/thread.h"

/* One errno of the ledger, the worst first. */
static struct trouble {
    const int code;
    const char *const name;
    int64_t count, time, mono_ms;
    bool fault; /* not settled; of EIO: what has no place to be tried again */
    char where[400];
} ledger[] = {
    {.code = EUCLEAN, .name = "EUCLEAN"}, {.code = EIO, .name = "EIO"},
    {.code = EMFILE, .name = "EMFILE"},   {.code = ENFILE, .name = "ENFILE"},
    {.code = ENOMEM, .name = "ENOMEM"},   {.code = EROFS, .name = "EROFS"},
    {.code = ENOSPC, .name = "ENOSPC"},   {.code = EDQUOT, .name = "EDQUOT"},
};
#define N_LEDGER (sizeof(ledger) / sizeof(ledger[0]))
#define N_FAULTS 5 /* of trouble_recent() */

#define PLACES_MAX   32  /* the others on a disk that fails are tried by those that use them */
#define PAUSE_MIN_MS 500 /* between two tries of a place, doubled up to … */
#define PAUSE_MAX_MS 5000
#define REST         20 /* … and at least so many times as long as a try takes */

/* Where EIO was met, and no try since then went well. */
static struct place {
    char *path;
    int64_t count;          /* how often it was met here */
    int64_t next, pause_ms; /* clock_mono_ms() of the next try */
} places[PLACES_MAX];       /* the last one that was met is the last one */
static size_t n_places;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the ledger and the places */

static bool is_listed(int code)
{
    for (size_t i = 0; i < N_LEDGER; i++)
        if (ledger[i].code == code)
            return true;
    return false;
}

static size_t find_place_locked(const char *path)
{
    size_t i = 0;

    while (i < n_places && strcmp(places[i].path, path) != 0)
        i++;
    return i;
}

static void remove_place_locked(size_t i)
{
    free(places[i].path);
    n_places--;
    memmove(&places[i], &places[i + 1], (n_places - i) * sizeof(places[0]));
}

static void note_place_locked(const char *path)
{
    size_t i = find_place_locked(path);
    struct place p;

    if (i == PLACES_MAX)
        return;
    if (i == n_places)
        places[n_places++] = (struct place){.path = xstrdup(path),
                                            .next = clock_mono_ms() + PAUSE_MIN_MS,
                                            .pause_ms = PAUSE_MIN_MS};
    p = places[i];
    p.count++;
    memmove(&places[i], &places[i + 1], (n_places - 1 - i) * sizeof(places[0]));
    places[n_places - 1] = p;
}

void trouble_note(int code, const char *where)
{
    int saved = errno;

    code = code < 0 ? -code : code;
    for (size_t i = 0; i < N_LEDGER; i++) {
        struct trouble *t = &ledger[i];

        if (t->code != code)
            continue;
        mutex_lock(&lock);
        t->count++;
        if (code == EIO && where && *where == '/')
            note_place_locked(where);
        else
            t->fault = true;
        t->time = clock_wall_ns();
        t->mono_ms = clock_mono_ms();
        if (where)
            printable_copy(t->where, sizeof(t->where), where);
        mutex_unlock(&lock);
    }
    errno = saved;
}

int trouble_at(int result, int dirfd, const char *name)
{
    char link[40], folder[PATH_MAX], *where;
    ssize_t n;

    if (result >= 0 || !is_listed(-result))
        return result;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
    n = name && (*name == '/' || dirfd < 0) ? 0 : readlink(link, folder, sizeof(folder) - 1);
    folder[n > 0 ? n : 0] = '\0';
    where = xasprintf("%s%s%s", folder, *folder && name ? "/" : "", name ? name : "");
    trouble_note(result == -EUCLEAN ? EIO : result, where); /* EUCLEAN is a database's */
    free(where);
    return result;
}

void trouble_settle(int code)
{
    mutex_lock(&lock);
    for (size_t i = 0; i < N_LEDGER; i++)
        if (ledger[i].code == code)
            ledger[i].fault = false;
    while (code == EIO && n_places > 0)
        remove_place_locked(n_places - 1);
    mutex_unlock(&lock);
}

/* One place that is due; false: none. *ret_path is the caller's. */
static bool take_place(char **ret_path, int64_t *ret_count)
{
    int64_t now = clock_mono_ms();
    bool found = false;

    mutex_lock(&lock);
    for (size_t i = 0; i < n_places && !found; i++) {
        found = places[i].next <= now;
        if (found) {
            *ret_path = xstrdup(places[i].path);
            *ret_count = places[i].count;
        }
    }
    mutex_unlock(&lock);
    return found;
}

bool trouble_look_again(trouble_try_fn *fn, void *arg)
{
    int64_t count, began = clock_mono_ms(), took;
    char *path;
    bool well;
    size_t i;

    if (!take_place(&path, &count))
        return false;
    well = fn(arg, path);
    took = clock_mono_ms() - began;
    mutex_lock(&lock);
    i = find_place_locked(path);
    if (i < n_places && well && places[i].count == count) {
        remove_place_locked(i);
    } else if (i < n_places) {
        struct place *p = &places[i];

        p->pause_ms = p->pause_ms * 2 < PAUSE_MAX_MS ? p->pause_ms * 2 : PAUSE_MAX_MS;
        p->next = began + took + (took * REST > p->pause_ms ? took * REST : p->pause_ms);
    }
    mutex_unlock(&lock);
    free(path);
    return true;
}

int64_t trouble_count(int code, int64_t *ago_ms)
{
    int64_t n = 0;

    mutex_lock(&lock);
    for (size_t i = 0; i < N_LEDGER; i++) {
        if (ledger[i].code == code) {
            n = ledger[i].count;
            if (ago_ms)
                *ago_ms = clock_mono_ms() - ledger[i].mono_ms;
        }
    }
    mutex_unlock(&lock);
    return n;
}

json_t *trouble_json(void)
{
    json_t *list = json_array();

    mutex_lock(&lock);
    for (size_t i = 0; i < N_LEDGER; i++) {
        const struct trouble *t = &ledger[i];

        if (t->count > 0)
            json_array_append_new(list, json_pack("{s:s,s:I,s:s,s:I,s:I}", "error", t->name,
                                                  "count", (json_int_t)t->count, "path", t->where,
                                                  "time", (json_int_t)t->time, "ago_ms",
                                                  (json_int_t)(clock_mono_ms() - t->mono_ms)));
    }
    mutex_unlock(&lock);
    return list;
}

bool trouble_recent(int64_t ms, int *code, char *out, size_t cap)
{
    bool found = false;

    mutex_lock(&lock);
    for (size_t i = 0; i < N_FAULTS && !found; i++) {
        const struct trouble *t = &ledger[i];
        bool placed = t->code == EIO && n_places > 0;
        char where[sizeof(t->where)];

        if (!placed && (!t->fault || (t->code != EUCLEAN && clock_mono_ms() - t->mono_ms > ms)))
            continue;
        found = true;
        *code = t->code;
        printable_copy(where, sizeof(where), placed ? places[n_places - 1].path : t->where);
        snprintf(out, cap, "%s (%s) was met %lld times, last at '%s'", t->name, strerror(t->code),
                 (long long)t->count, where);
    }
    mutex_unlock(&lock);
    return found;
}
