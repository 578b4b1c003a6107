/* SPDX-License-Identifier: MIT */
#include "sync/dns/pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"

int pool_init(struct pool *p, char *const *addresses, size_t n, int64_t down, int64_t up,
              struct err *e)
{
    struct in6_addr any;

    *p = (struct pool){.v = xcalloc(n + 1, sizeof(*p->v)), .n = n, .down = down, .up = up};
    for (size_t i = 0; i < n; i++) {
        p->v[i] = (struct pool_server){.address = addresses[i], .up = true, .weight = 100};
        p->v[i].ipv6 = inet_pton(AF_INET6, addresses[i], &any) == 1;
        if (!p->v[i].ipv6 && inet_pton(AF_INET, addresses[i], &any) != 1)
            return err_set(e, EINVAL, "--server: '%s' is not an IPv4 or IPv6 address",
                           addresses[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(addresses[i], addresses[j]) == 0)
                return err_set(e, EINVAL, "--server: '%s' is there twice", addresses[i]);
    }
    return 0;
}

void pool_release(struct pool *p)
{
    free(p->v);
}

bool pool_checked(struct pool *p, size_t i, const char *reason, int weight)
{
    struct pool_server *s = &p->v[i];
    bool good = !reason;

    snprintf(s->reason, sizeof(s->reason), "%s", reason ? reason : "");
    if (good)
        s->weight = weight;
    s->against = good == s->up ? 0 : s->against + 1;
    if (s->against < (s->up ? p->down : p->up))
        return false;
    s->up = good;
    s->against = 0;
    return true;
}

static int by_weight(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* The weight in the middle of those that are up; 0: none is. */
static int middle_weight(const struct pool *p)
{
    int *all = xcalloc(p->n + 1, sizeof(*all)), middle;
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].up)
            all[n++] = p->v[i].weight;
    qsort(all, n, sizeof(*all), by_weight);
    middle = n > 0 ? all[n / 2] : 0;
    free(all);
    return middle;
}

void pool_weigh(struct pool *p)
{
    int middle = middle_weight(p);

    for (size_t i = 0; i < p->n; i++) {
        struct pool_server *s = &p->v[i];
        bool heavy = s->resting ? s->weight * 2 < middle : s->weight * 4 < middle;

        s->strain = heavy == s->resting ? 0 : s->strain + 1;
        if (s->strain >= (s->resting ? p->up : p->down)) {
            s->resting = heavy;
            s->strain = 0;
        }
    }
}

/* The resting server that could best come back, or -1. */
static ssize_t lightest_resting(const struct pool *p, const bool *published)
{
    ssize_t best = -1;

    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].up && !published[i] && (best < 0 || p->v[i].weight > p->v[best].weight))
            best = (ssize_t)i;
    return best;
}

size_t pool_publish(const struct pool *p, bool *ret)
{
    size_t up = 0, n = 0;

    for (size_t i = 0; i < p->n; i++) {
        up += p->v[i].up;
        n += ret[i] = p->v[i].up && !p->v[i].resting;
    }
    for (ssize_t i; n * 2 < p->n && (i = lightest_resting(p, ret)) >= 0; n++)
        ret[i] = true;
    for (size_t i = 0; up == 0 && i < p->n; i++)
        ret[i] = true;
    return up;
}
