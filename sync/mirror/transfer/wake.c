/* SPDX-License-Identifier: MIT */
#include "sync/mirror/transfer/wake.h"

#include <stdio.h>
#include <string.h>

#include "sync/common/thread.h"

void wake_init(struct wake *w)
{
    memset(w, 0, sizeof(*w));
    mutex_init(&w->lock);
    cond_init(&w->more);
}

void wake_release(struct wake *w)
{
    cond_destroy(&w->more);
    mutex_destroy(&w->lock);
}

void wake_kick(struct wake *w)
{
    mutex_lock(&w->lock);
    w->kicked = true;
    cond_signal(&w->more);
    mutex_unlock(&w->lock);
}

void wake_now(struct wake *w)
{
    mutex_lock(&w->lock);
    w->kicked = w->now = true;
    cond_signal(&w->more);
    mutex_unlock(&w->lock);
}

void wake_end(struct wake *w)
{
    mutex_lock(&w->lock);
    w->ended = true;
    cond_signal(&w->more);
    mutex_unlock(&w->lock);
}

bool wake_wait(struct wake *w, int64_t deadline, bool kick_ends)
{
    bool now, late = false;

    mutex_lock(&w->lock);
    while (!w->ended && !w->now && !(kick_ends && w->kicked) && !late) {
        if (deadline == WAKE_NEVER)
            cond_wait(&w->more, &w->lock);
        else
            late = !cond_wait_until(&w->more, &w->lock, deadline);
    }
    now = w->now;
    w->kicked = w->now = false;
    mutex_unlock(&w->lock);
    return now;
}

bool wake_set_reason(struct wake *w, const char *why)
{
    bool fresh;

    mutex_lock(&w->lock);
    fresh = *why && strcmp(why, w->reason) != 0;
    snprintf(w->reason, sizeof(w->reason), "%s", why);
    mutex_unlock(&w->lock);
    return fresh;
}

void wake_reason(struct wake *w, char *out)
{
    mutex_lock(&w->lock);
    snprintf(out, WAKE_REASON_CAP, "%s", w->reason);
    mutex_unlock(&w->lock);
}
