/* SPDX-License-Identifier: MIT */
#include "sync/mirror/control/fitness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/printable.h"
#include "sync/common/thread.h"

#define QUICK_MS 250

struct fitness {
    pthread_mutex_t lock; /* guards the rest */
    bool looked, fit;
    int against; /* looks in a row that speak against the verdict */
    int weight;
    int64_t check_ms;
    char reason[768]; /* of the last look that found one */
};

struct fitness *fitness_new(void)
{
    struct fitness *f = xcalloc(1, sizeof(*f));

    mutex_init(&f->lock);
    return f;
}

void fitness_free(struct fitness *f)
{
    if (!f)
        return;
    mutex_destroy(&f->lock);
    free(f);
}

void fitness_look(struct fitness *f, const char *why, int weight, int64_t check_ms)
{
    bool good = !*why;

    mutex_lock(&f->lock);
    f->against = good == f->fit ? 0 : f->against + 1;
    if (!f->looked || f->against >= (f->fit ? FITNESS_BAD : FITNESS_GOOD)) {
        f->fit = good;
        f->against = 0;
    }
    if (!good)
        snprintf(f->reason, sizeof(f->reason), "%s", why);
    else if (f->fit)
        f->reason[0] = '\0';
    f->looked = true;
    f->weight = weight;
    f->check_ms = check_ms;
    mutex_unlock(&f->lock);
}

bool fitness_is_fit(struct fitness *f, int *weight)
{
    bool fit;

    mutex_lock(&f->lock);
    fit = f->looked && f->fit;
    *weight = fit ? f->weight : 0;
    mutex_unlock(&f->lock);
    return fit;
}

json_t *fitness_json(struct fitness *f)
{
    json_t *o = NULL;
    char *reason;

    mutex_lock(&f->lock);
    if (f->looked) {
        reason = printable_utf8(f->reason);
        o = json_pack("{s:b,s:s,s:i}", "fit", f->fit, "reason", reason, "weight", f->weight);
        if (f->check_ms >= 0)
            json_object_set_new(o, "check_ms", json_integer(f->check_ms));
        free(reason);
    }
    mutex_unlock(&f->lock);
    return o;
}

int fitness_weight(double per_core, int64_t check_ms)
{
    double w = 100.0;

    if (per_core > 1.0)
        w /= per_core;
    if (check_ms > QUICK_MS)
        w *= (double)QUICK_MS / (double)check_ms;
    return w < 1.0 ? 1 : (int)(w + 0.5);
}
