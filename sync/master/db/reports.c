/* SPDX-License-Identifier: MIT */
#include "sync/master/db/reports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/thread.h"
#include "sync/master/db/registry.h"

#define CLONE_SHOWN_MS (5 * 60 * 1000)

#define MACHINES 4 /* that take turns; of more the one that is longest ago is forgotten */

/* A machine that reported under a mirror's name. */
struct machine {
    char id[128], address[REPORTS_ADDRESS_CAP];
    int64_t at; /* mono ms; 0: an empty place */
};

struct seen {
    struct seen *next;
    struct machine machines[MACHINES], *last; /* NULL: none has reported */
    struct machine *before;                   /* the other one of two that take turns */
    int64_t twin;                             /* mono ms when two took turns; 0: never */
    char name[MIRROR_NAME_CAP];
    int64_t at, seq;
    int64_t cloned;                    /* mono ms when a copy of its cache was refused; 0: never */
    int requests;                      /* that are running */
    char address[REPORTS_ADDRESS_CAP]; /* of its last report; "": none yet */
    json_t *report;
};

struct reports {
    pthread_mutex_t lock; /* guards the list */
    struct seen *first;
};

struct reports *reports_new(void)
{
    struct reports *s = xcalloc(1, sizeof(*s));

    mutex_init(&s->lock);
    return s;
}

void reports_free(struct reports *s)
{
    if (!s)
        return;
    for (struct seen *n, *p = s->first; p; p = n) {
        n = p->next;
        json_decref(p->report);
        free(p);
    }
    mutex_destroy(&s->lock);
    free(s);
}

static struct seen *find_locked(struct reports *s, const char *name)
{
    for (struct seen *p = s->first; p; p = p->next)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

static struct seen *enter_locked(struct reports *s, const char *name)
{
    struct seen *p = find_locked(s, name);

    if (!p) {
        p = xcalloc(1, sizeof(*p));
        snprintf(p->name, sizeof(p->name), "%s", name);
        p->seq = -1;
        p->next = s->first;
        s->first = p;
    }
    p->at = clock_mono_ms();
    return p;
}

bool reports_enter(struct reports *s, const char *name)
{
    struct seen *p;
    bool yes;

    mutex_lock(&s->lock);
    p = enter_locked(s, name);
    yes = p->requests < REPORTS_REQUESTS_MAX;
    p->requests += yes;
    mutex_unlock(&s->lock);
    return yes;
}

void reports_leave(struct reports *s, const char *name)
{
    struct seen *p;

    mutex_lock(&s->lock);
    p = find_locked(s, name);
    if (p)
        p->requests--;
    mutex_unlock(&s->lock);
}

void reports_clone(struct reports *s, const char *name)
{
    mutex_lock(&s->lock);
    enter_locked(s, name)->cloned = clock_mono_ms();
    mutex_unlock(&s->lock);
}

void reports_seen(struct reports *s, const char *name, json_t *report, int64_t seq)
{
    struct seen *p;

    mutex_lock(&s->lock);
    p = enter_locked(s, name);
    if (seq >= 0)
        p->seq = seq;
    if (report) {
        json_decref(p->report);
        p->report = json_incref(report);
    }
    mutex_unlock(&s->lock);
}

void reports_address(struct reports *s, const char *name, const char *address)
{
    mutex_lock(&s->lock);
    snprintf(enter_locked(s, name)->address, REPORTS_ADDRESS_CAP, "%s", address);
    mutex_unlock(&s->lock);
}

/* The place of a machine: its own, or else the one that is longest ago, emptied. */
static struct machine *machine_of(struct seen *p, const char *id)
{
    struct machine *oldest = &p->machines[0];

    for (size_t i = 0; i < MACHINES; i++) {
        struct machine *x = &p->machines[i];

        if (x->at && strncmp(x->id, id, sizeof(x->id) - 1) == 0)
            return x;
        if (x->at < oldest->at)
            oldest = x;
    }
    memset(oldest, 0, sizeof(*oldest));
    return oldest;
}

/* "'web2' at 192.0.2.2" */
static void machine_text(const struct machine *x, char *out, size_t cap)
{
    const char *colon = strrchr(x->id, ':');

    snprintf(out, cap, "'%.64s' at %s", colon ? colon + 1 : "?", x->address);
}

void reports_machine(struct reports *s, const char *name, const char *machine, const char *address,
                     int64_t now, char *other)
{
    struct machine *x;
    struct seen *p;

    *other = '\0';
    mutex_lock(&s->lock);
    p = enter_locked(s, name);
    x = machine_of(p, machine);
    if (x != p->last && x->at) { /* it is back, after another one */
        p->twin = now;
        p->before = p->last;
    }
    if (p->twin && now - p->twin < REPORTS_TWIN_MS && p->last && p->last != x)
        p->before = p->last;
    if (p->twin && now - p->twin < REPORTS_TWIN_MS && p->before && p->before != x)
        machine_text(p->before, other, REPORTS_TEXT_CAP);
    snprintf(x->id, sizeof(x->id), "%s", machine);
    snprintf(x->address, sizeof(x->address), "%s", address);
    x->at = now;
    p->last = x;
    mutex_unlock(&s->lock);
}

/* The figures of a mirror's last report. */
static void add_figures(json_t *o, const struct seen *p, int64_t head)
{
    static const char *const numbers[] = {"lag_ms",      "pending",    "conflicts",
                                          "quarantined", "cache_used", "cache_limit"};
    json_t *imports = json_object_get(p->report, "imports");
    json_t *version = json_object_get(p->report, "version");

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        json_t *n = json_object_get(p->report, numbers[i]);
        json_object_set_new(o, numbers[i], json_integer(json_integer_value(n)));
    }
    if (json_is_string(version))
        json_object_set(o, "version", version);
    if (json_is_array(imports))
        json_object_set_new(o, "imports", json_deep_copy(imports));
    if (p->seq >= 0)
        json_object_set_new(o, "cursor_behind", json_integer(head > p->seq ? head - p->seq : 0));
}

json_t *reports_show(struct reports *s, const char *name, int64_t head, int64_t now)
{
    json_t *o = json_object();
    struct seen *p;
    const char *state = "unknown", *reason = "not heard of since this master was started";
    char silent[64], twin[3 * REPORTS_TEXT_CAP], one[REPORTS_TEXT_CAP], two[REPORTS_TEXT_CAP];

    json_object_set_new(o, "name", json_string(name));
    mutex_lock(&s->lock);
    p = find_locked(s, name);
    if (p && *p->address)
        json_object_set_new(o, "address", json_string(p->address));
    if (p && now - p->at > REPORTS_SILENT_MS) {
        snprintf(silent, sizeof(silent), "not heard of for %lld s",
                 (long long)((now - p->at) / 1000));
        reason = silent;
        json_object_set_new(o, "silent", json_boolean(p->report != NULL));
    } else if (p) {
        reason = "";
        if (json_is_string(json_object_get(p->report, "state")))
            state = json_string_value(json_object_get(p->report, "state"));
        if (json_is_string(json_object_get(p->report, "reason")))
            reason = json_string_value(json_object_get(p->report, "reason"));
        if (p->cloned && now - p->cloned < CLONE_SHOWN_MS) {
            state = "DEGRADED";
            reason = REPORTS_CLONED;
        }
        if (p->twin && now - p->twin < REPORTS_TWIN_MS && p->before && p->before != p->last) {
            machine_text(p->before, one, sizeof(one));
            machine_text(p->last, two, sizeof(two));
            snprintf(twin, sizeof(twin), "two machines use its token: %s and %s", one, two);
            state = "DEGRADED";
            reason = twin;
            json_object_set_new(o, "twin", json_true());
        }
        add_figures(o, p, head);
    }
    if (p)
        json_object_set_new(o, "seen_ms_ago", json_integer(now - p->at));
    json_object_set_new(o, "state", json_string(state));
    json_object_set_new(o, "reason", json_string(reason));
    mutex_unlock(&s->lock);
    return o;
}
