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
    bool settled;
    char where[400];
} ledger[] = {
    {.code = EUCLEAN, .name = "EUCLEAN"}, {.code = EIO, .name = "EIO"},
    {.code = EMFILE, .name = "EMFILE"},   {.code = ENFILE, .name = "ENFILE"},
    {.code = ENOMEM, .name = "ENOMEM"},   {.code = EROFS, .name = "EROFS"},
    {.code = ENOSPC, .name = "ENOSPC"},   {.code = EDQUOT, .name = "EDQUOT"},
};
#define N_LEDGER (sizeof(ledger) / sizeof(ledger[0]))
#define N_FAULTS 5 /* of trouble_recent() */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the ledger */

static bool is_listed(int code)
{
    for (size_t i = 0; i < N_LEDGER; i++)
        if (ledger[i].code == code)
            return true;
    return false;
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
        t->settled = false;
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
            ledger[i].settled = true;
    mutex_unlock(&lock);
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

        if (t->count == 0 || t->settled ||
            (t->code != EUCLEAN && clock_mono_ms() - t->mono_ms > ms))
            continue;
        found = true;
        *code = t->code;
        snprintf(out, cap, "%s (%s) was met %lld times, last at '%s'", t->name, strerror(t->code),
                 (long long)t->count, t->where);
    }
    mutex_unlock(&lock);
    return found;
}
