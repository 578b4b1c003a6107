/* SPDX-License-Identifier: MIT */
#include "sync/mirror/transfer/set_aside.h"

#include <stdlib.h>
#include <string.h>

#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/path.h"
#include "sync/mirror/replica/feed.h"
#include "sync/mirror/transfer/context.h"
#include "sync/proto/wire.h"

#define TRIES       4 /* with push's pauses: within 2 s, so that operations behind it keep their 5 s */
#define TRIES_LOST  5     /* where a failure may be the way's */
#define TRIES_AGAIN 2     /* the first may be an upload that failed some time ago */
#define BLAME_MAX   16    /* in a row */
#define FULL_MS     60000 /* as long the same lack of space needs no patience */
#define PAUSE_MIN   5000
#define PAUSE_MAX   30000
#define AT_ONCE     8 /* so many are tried again together */

void set_aside_init(struct set_aside *a, struct mirror *m)
{
    memset(a, 0, sizeof(*a));
    a->m = m;
    a->limit = WIRE_OPS_MAX;
    a->pause = PAUSE_MIN;
    a->due = 1; /* what an earlier run has set aside */
}

static bool is_retried(const struct set_aside *a, int64_t n)
{
    return n >= a->from && n < a->to;
}

void set_aside_settled(struct set_aside *a, const struct op *ops, size_t settled)
{
    if (settled == 0)
        return;
    a->tries = a->blamed = 0;
    a->limit = a->limit * 2 < WIRE_OPS_MAX ? a->limit * 2 : WIRE_OPS_MAX;
    for (size_t i = 0; i < settled && a->due; i++) {
        if (!is_retried(a, ops[i].n))
            continue;
        a->due = clock_mono_ms(); /* the cause has gone */
        a->pause = PAUSE_MIN;
    }
}

bool set_aside_suspects(const struct set_aside *a, int64_t n)
{
    return is_retried(a, n) || (a->head == n && a->tries > 0);
}

bool set_aside_again(const struct set_aside *a)
{
    return is_retried(a, a->head);
}

/* Counts a failure of `n`; so often it has failed in a row. */
static int count(struct set_aside *a, int64_t n)
{
    if (a->head != n)
        a->tries = 0;
    a->head = n;
    return ++a->tries;
}

static int set_aside(struct set_aside *a, const struct op *op, const char *code, const char *why)
{
    int64_t now = clock_mono_ms();
    bool again = is_retried(a, op->n);
    char *path;
    int r = replica_outbox_defer(a->m->replica, op->n, code, why);

    if (r < 0)
        return r;
    if (!again) {
        path = path_encoded(op->path);
        log_warn("the change of '%.300s' (%s) is set aside and retried later: %s", path,
                 op_kind_name(op->kind), why);
        free(path);
    }
    if (strcmp(code, WIRE_E_NO_SPACE) == 0)
        a->full = now;
    if (!a->due)
        a->due = now + a->pause;
    a->tries = 0;
    wake_kick(&a->m->answers_wake);
    return 1;
}

int set_aside_failed(struct set_aside *a, const struct op *op, const char *code, const char *why)
{
    bool full =
        strcmp(code, WIRE_E_NO_SPACE) == 0 && a->full && clock_mono_ms() - a->full < FULL_MS;
    int most = TRIES;

    if (strcmp(code, WIRE_E_UNAVAILABLE) == 0)
        return 0; /* so would be all the others */
    if (is_retried(a, op->n) && strcmp(code, WIRE_R_NEED_CONTENT) != 0)
        most = TRIES_AGAIN;
    else if (full)
        most = 1;
    return count(a, op->n) < most ? 0 : set_aside(a, op, code, why);
}

int set_aside_request_failed(struct set_aside *a, const struct op *op, size_t n, bool lost,
                             const char *code, const char *why)
{
    int r, tries = count(a, op->n);

    if (n > 1) {
        a->limit = n / 2;
        a->tries = 1;
        return 1;
    }
    if (a->blamed >= BLAME_MAX || tries < (is_retried(a, op->n) ? TRIES_AGAIN
                                           : lost               ? TRIES_LOST
                                                                : TRIES))
        return 0;
    r = set_aside(a, op, code, why);
    a->blamed += r == 1;
    return r;
}

int set_aside_retry(struct set_aside *a, bool now)
{
    int64_t present = clock_mono_ms();
    int r;

    if (!a->due || (!now && present < a->due))
        return 0;
    a->pause = now ? PAUSE_MIN : a->pause;
    r = replica_outbox_retry_deferred(a->m->replica, AT_ONCE, &a->from, &a->to);
    if (r < 0)
        return r;
    a->due = r > 0 ? present + a->pause : 0;
    a->pause = r == 0 ? PAUSE_MIN : a->pause * 2 < PAUSE_MAX ? a->pause * 2 : PAUSE_MAX;
    return 0;
}
