/* SPDX-License-Identifier: MIT */
#include "sync/mirror/transfer/link.h"

#include <errno.h>
#include <stdio.h>

#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"

void link_init(struct link *l)
{
    mutex_init(&l->lock);
    cond_init(&l->changed);
    l->since = clock_mono_ms();
}

void link_release(struct link *l)
{
    cond_destroy(&l->changed);
    mutex_destroy(&l->lock);
}

void link_ok(struct link *l)
{
    bool was;

    mutex_lock(&l->lock);
    was = atomic_exchange(&l->down, false);
    l->denied = false;
    l->contact = clock_mono_ms();
    if (was) {
        l->since = l->contact;
        cond_broadcast(&l->changed);
    }
    mutex_unlock(&l->lock);
    if (was)
        log_info("the master is back");
}

static void set_down(struct link *l, const char *why, bool denied)
{
    bool was_down, was;

    mutex_lock(&l->lock);
    was_down = atomic_exchange(&l->down, true);
    if (!was_down)
        l->since = clock_mono_ms();
    was = was_down && l->denied == denied;
    l->denied = denied;
    snprintf(l->reason, sizeof(l->reason), "%s", why);
    cond_broadcast(&l->changed);
    mutex_unlock(&l->lock);
    if (!was_down && l->broken)
        l->broken(l->arg);
    if (!was)
        log_warn("the master is away: %s", why);
}

void link_fail(struct link *l, const struct err *e)
{
    if (e->code != ECANCELED)
        set_down(l, e->text, false);
}

void link_deny(struct link *l, const char *why)
{
    set_down(l, why, true);
}

bool link_wait_up(struct link *l, int64_t deadline)
{
    mutex_lock(&l->lock);
    if (atomic_load(&l->down))
        cond_wait_until(&l->changed, &l->lock, deadline);
    mutex_unlock(&l->lock);
    return link_is_up(l);
}

void link_wake(struct link *l)
{
    mutex_lock(&l->lock);
    cond_broadcast(&l->changed);
    mutex_unlock(&l->lock);
}

int link_judge(struct link *l, int result, const struct http_reply *reply, struct err *e)
{
    if (result < 0) {
        e->code = -result;
        link_fail(l, e);
    } else if (reply->status == 401) {
        result = err_set(e, EACCES,
                         "the master does not know this token; make one with: "
                         "eefs-master mirror add");
        link_deny(l, e->text);
    } else if (reply->status >= 500 && reply->status != 507) {
        result = err_set(e, EREMOTEIO, "the master cannot answer now: %s", reply->text);
        link_fail(l, e);
    } else {
        mutex_lock(&l->lock);
        l->contact = clock_mono_ms();
        mutex_unlock(&l->lock);
    }
    return result;
}
