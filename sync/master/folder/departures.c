/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/departures.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/path.h"
#include "sync/common/thread.h"

#define CATCH_UP_MS 1000
#define EVENT_BYTES 512 /* more than one event has; a read may leave so much of its buffer empty */

struct departure {
    char *from, *to; /* NULL: unused; not known (yet, or it left the folder) */
    uint32_t cookie;
    int64_t when; /* clock_mono_ms() */
};

struct departures {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t read;
    int fd;
    bool reading;
    uint64_t reads; /* that were handled */
    struct departure ring[DEPARTURES_MAX];
    size_t next; /* the oldest; the newest is before it */
};

struct departures *departures_new(void)
{
    struct departures *d = xcalloc(1, sizeof(*d));

    mutex_init(&d->lock);
    cond_init(&d->read);
    d->fd = -1;
    return d;
}

void departures_free(struct departures *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < DEPARTURES_MAX; i++) {
        free(d->ring[i].from);
        free(d->ring[i].to);
    }
    cond_destroy(&d->read);
    mutex_destroy(&d->lock);
    free(d);
}

void departures_source(struct departures *d, int fd)
{
    mutex_lock(&d->lock);
    d->fd = fd;
    cond_broadcast(&d->read);
    mutex_unlock(&d->lock);
}

void departures_reading(struct departures *d)
{
    mutex_lock(&d->lock);
    d->reading = true;
    mutex_unlock(&d->lock);
}

void departures_read(struct departures *d)
{
    mutex_lock(&d->lock);
    d->reading = false;
    d->reads++;
    cond_broadcast(&d->read);
    mutex_unlock(&d->lock);
}

void departures_from(struct departures *d, uint32_t cookie, const char *path)
{
    struct departure *one;

    mutex_lock(&d->lock);
    one = &d->ring[d->next];
    d->next = (d->next + 1) % DEPARTURES_MAX;
    free(one->from);
    free(one->to);
    *one = (struct departure){xstrdup(path), NULL, cookie, clock_mono_ms()};
    mutex_unlock(&d->lock);
}

void departures_to(struct departures *d, uint32_t cookie, const char *path)
{
    mutex_lock(&d->lock);
    for (size_t i = 1; i <= DEPARTURES_MAX; i++) {
        struct departure *one = &d->ring[(d->next + DEPARTURES_MAX - i) % DEPARTURES_MAX];

        if (!one->from)
            break;
        if (one->cookie == cookie && !one->to) {
            one->to = xstrdup(path);
            break;
        }
    }
    mutex_unlock(&d->lock);
}

static void catch_up_locked(struct departures *d)
{
    int64_t until = clock_mono_ms() + CATCH_UP_MS;
    uint64_t due = d->reads + d->reading;
    int bytes = 0;

    if (d->fd < 0 || ioctl(d->fd, FIONREAD, &bytes) < 0)
        return;
    due += ((uint64_t)bytes + DEPARTURES_READ - EVENT_BYTES - 1) / (DEPARTURES_READ - EVENT_BYTES);
    while (d->fd >= 0 && d->reads < due && cond_wait_until(&d->read, &d->lock, until))
        ;
}

/* Where the rename at `start` and those after it have led `path`: malloc'd; NULL: nowhere. */
static char *led_locked(struct departures *d, size_t start, const char *path)
{
    char *at = NULL;

    for (size_t i = start; i < DEPARTURES_MAX; i++) {
        const struct departure *one = &d->ring[(d->next + i) % DEPARTURES_MAX];
        const char *now = at ? at : path;

        if (!at && i > start)
            break;
        if (one->from && path_is_under(now, one->from)) {
            char *to = one->to ? xasprintf("%s%s", one->to, now + strlen(one->from)) : NULL;

            free(at);
            at = to;
        }
    }
    return at;
}

void departures_of(struct departures *d, const char *path, int64_t ms, struct strlist *ret)
{
    int64_t since = clock_mono_ms() - ms;

    mutex_lock(&d->lock);
    catch_up_locked(d);
    for (size_t i = DEPARTURES_MAX; i-- > 0;) {
        const struct departure *one = &d->ring[(d->next + i) % DEPARTURES_MAX];
        char *to;

        if (!one->from || one->when < since)
            break;
        to = led_locked(d, i, path);
        if (to)
            strlist_add(ret, to);
        free(to);
    }
    mutex_unlock(&d->lock);
}
