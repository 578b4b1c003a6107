/* SPDX-License-Identifier: MIT */
#include "sync/master/http/intruder.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/log.h"
#include "sync/common/thread.h"

#define QUIET_MS 60000 /* between two log lines */

struct intruder {
    pthread_mutex_t lock; /* guards the rest */
    int64_t count, unsaid;
    int64_t said, last; /* mono ms; 0: never */
    char from[64];
};

struct intruder *intruder_new(void)
{
    struct intruder *i = xcalloc(1, sizeof(*i));

    mutex_init(&i->lock);
    return i;
}

void intruder_free(struct intruder *i)
{
    if (!i)
        return;
    mutex_destroy(&i->lock);
    free(i);
}

static void address_text(const struct sockaddr *from, char *out, size_t cap)
{
    socklen_t len = from && from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                        : sizeof(struct sockaddr_in);

    if (!from || getnameinfo(from, len, out, (socklen_t)cap, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(out, cap, "an unknown address");
}

void intruder_count(struct intruder *i, const struct sockaddr *from, bool given)
{
    int64_t now = clock_mono_ms() | 1, n = 0;
    char text[sizeof(i->from)];

    address_text(from, text, sizeof(text));
    mutex_lock(&i->lock);
    i->count++;
    i->unsaid++;
    i->last = now;
    snprintf(i->from, sizeof(i->from), "%s", text);
    if (!i->said || now - i->said >= QUIET_MS) {
        n = i->unsaid;
        i->unsaid = 0;
        i->said = now;
    }
    mutex_unlock(&i->lock);
    if (n > 0)
        log_warn("%lld requests with no token or a wrong one, the last with %s from %s; reported "
                 "at most once a minute",
                 (long long)n, given ? "a wrong one" : "none", text);
}

json_t *intruder_report(struct intruder *i)
{
    json_t *o;

    mutex_lock(&i->lock);
    o = json_pack("{s:I,s:s,s:I}", "count", (json_int_t)i->count, "last", i->from, "ms_ago",
                  (json_int_t)(i->last ? clock_mono_ms() - i->last : 0));
    mutex_unlock(&i->lock);
    return o;
}
