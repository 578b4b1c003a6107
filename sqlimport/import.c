/* SPDX-License-Identifier: MIT */
#include "sqlimport/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sqlimport/collation.h"
#include "sqlimport/plan.h"
#include "sqlimport/stage.h"
#include "sqlimport/swap.h"
#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"

#define SWAP_PATIENCE_MS 120000
#define RACY_WAIT_MS     1500

/* Names of one import's schemas. */
struct run {
    const struct import_args *a;
    int fd;
    struct dump *dump;
    struct server *s;
    struct plan *plan;
    char *stage, *old;
    int64_t others;
};

static int lock_out_others(struct run *r, struct err *e)
{
    char *name = xasprintf("eefs_import_%s", r->a->database);
    char *text, *got = NULL;
    int rc;

    if (strlen(name) > 64)
        name[64] = '\0';
    text = server_text(name);
    rc = server_value(r->s, &got, e, "SELECT GET_LOCK(%s, 0)", text);
    if (rc == 0 && (!got || *got != '1'))
        rc = err_set(e, EAGAIN, "another import into '%s' is running", r->a->database);
    free(got);
    free(text);
    free(name);
    return rc;
}

static void nap(const struct run *r, int64_t ms)
{
    for (; ms > 0 && !*r->a->stop; ms -= 20)
        usleep(20000);
}

/* A mark tells changes by the second: let the second of the last staged row end before the swap,
 * so that any change by a visitor gets another one. */
static int settle(struct run *r, struct err *e)
{
    int64_t until = clock_mono_ms() + RACY_WAIT_MS;
    bool racy = true;
    int rc;

    for (;;) {
        rc = plan_marks(r->plan, r->s, r->stage, true, &racy, e);
        if (rc < 0 || !racy || clock_mono_ms() > until || *r->a->stop)
            return rc;
        nap(r, 40);
    }
}

static int reconnect(struct run *r, struct err *e)
{
    server_close(r->s);
    r->s = NULL;
    return server_open(r->a->defaults_file, &r->s, e);
}

static int swap_all(struct run *r, struct swap *w, struct err *e)
{
    int64_t until = clock_mono_ms() + SWAP_PATIENCE_MS;
    int64_t pause = 50;
    uint8_t jitter = 0;
    int rc;

    for (;;) {
        rc = swap_try(w, r->s, e);
        if (rc == -ENOTCONN) { /* the outcome is unknown: ask */
            struct err e2 = {0};
            if (reconnect(r, &e2) < 0)
                return rc;
            rc = swap_is_done(w, r->s, &e2);
            return rc == 1 ? 0 : rc == 0 ? -ENOTCONN : rc;
        }
        if (rc != -EAGAIN || clock_mono_ms() > until || *r->a->stop)
            return rc;
        jitter = (uint8_t)(jitter * 37 + 11);
        nap(r, pause + jitter % 50);
        pause = pause < 2000 ? pause * 2 : pause;
    }
}

/*
 * A rename gives a new creation time, so that part of a mark is read after the swap; the update
 * time must still be the one from before it, else a visitor changed the table meanwhile and the
 * mark is void.
 */
static int confirm_marks(struct run *r, struct err *e)
{
    struct plan *p = r->plan;
    struct step *before = xmalloc((p->n + 1) * sizeof(*before));
    int rc;

    memcpy(before, p->steps, p->n * sizeof(*before));
    rc = plan_marks(p, r->s, r->a->database, true, NULL, e);
    for (size_t i = 0; i < p->n && rc == 0; i++) {
        const char *a = strchr(before[i].mark, '|'), *b = strchr(p->steps[i].mark, '|');
        if (!a || !b || strcmp(a, b) != 0)
            p->steps[i].mark[0] = '\0';
    }
    free(before);
    return rc;
}

static int record(struct run *r, const struct last_import *last, struct err *e)
{
    struct history *h = r->a->history;
    int rc = history_begin(h);

    for (size_t i = 0; i < r->plan->n && rc >= 0; i++) {
        const struct step *st = &r->plan->steps[i];
        if (st->action == ACTION_SWAP || st->action == ACTION_NEW)
            rc = history_set_object(h, object_kind_name(st->o->kind), st->o->name, &st->o->hash,
                                    st->mark);
    }
    for (size_t i = 0; i < r->dump->n && rc >= 0; i++) {
        const struct object *o = r->dump->objects[i];
        if (!object_is_table(o))
            rc = history_set_object(h, object_kind_name(o->kind), o->name, &o->hash, "");
    }
    if (rc >= 0)
        rc = history_add(h, last, e);
    if (rc >= 0)
        rc = history_commit(h);
    return rc < 0 ? rc : 0;
}

static int change_tables(struct run *r, struct failure *f, struct err *e)
{
    const struct stage_args sa = {
        .plan = r->plan,
        .defaults_file = r->a->defaults_file,
        .schema = r->stage,
        .fd = r->fd,
        .connections = r->a->connections,
        .state = r->a->state,
        .stop = r->a->stop,
    };
    struct swap w = {.plan = r->plan, .database = r->a->database, .stage = r->stage, .old = r->old};
    int rc = stage_empty(r->s, r->stage, e);

    if (rc == 0)
        rc = stage_empty(r->s, r->old, e);
    if (rc == 0) { /* stage_empty spares the state row: the old one must go */
        char *old = server_name(r->old);
        rc = server_runf(r->s, e, "DROP TABLE IF EXISTS %s._eefs_state", old);
        free(old);
    }
    if (rc == 0)
        rc = swap_clean(r->s, r->a->database, e);
    if (rc < 0)
        return rc;
    state_progress_begin(r->a->state, r->plan->bytes);
    rc = stage_run(&sa, &f->where, &f->code, e);
    state_progress_end(r->a->state);
    crash_point("import.staged");
    if (rc == 0)
        rc = swap_prepare(&w, r->s, e);
    if (rc == 0)
        rc = settle(r, e);
    if (rc == 0)
        rc = swap_all(r, &w, e);
    if (rc == 0)
        rc = confirm_marks(r, e);
    return rc;
}

static int judge(struct run *r, struct failure *f, struct err *e)
{
    struct hash secret;
    int rc = history_secret(r->a->history, &secret, e);

    if (rc < 0)
        return rc;
    rc = dump_read(r->fd, &secret, &r->dump, &f->where, e);
    f->hash = r->dump->hash;
    if (r->a->known_bad && hash_eq(r->a->known_bad, &f->hash))
        return -EALREADY;
    if (rc == 0)
        rc = server_open(r->a->defaults_file, &r->s, e);
    if (rc == 0)
        rc = collation_adapt(r->dump, r->s, e);
    if (rc == 0)
        rc = lock_out_others(r, e);
    if (rc == 0)
        rc = plan_make(r->dump, r->s, r->a->history, r->a->database, r->a->keep, &r->plan, e);
    return rc;
}

static int carry_out(struct run *r, int64_t begin, struct last_import *last, struct failure *f,
                     struct err *e)
{
    struct swap w = {.plan = r->plan, .database = r->a->database, .stage = r->stage, .old = r->old};
    int rc = 0;

    if (r->plan->changed)
        rc = change_tables(r, f, e);
    if (rc == 0)
        rc = swap_clean(r->s, r->a->database,
                        e); /* triggers of old tables go before new ones come */
    if (rc == 0)
        rc = swap_others(&w, r->s, r->a->history, &r->others, &f->where, e);
    if (rc < 0)
        return rc;
    *last = (struct last_import){
        .wall_ns = clock_wall_ns(),
        .seconds = (double)(clock_mono_ms() - begin) / 1000,
        .tables_changed = (int64_t)r->plan->changed,
        .rows = (int64_t)r->plan->rows,
        .hash = r->dump->hash,
    };
    crash_point("import.done");
    rc = record(r, last, e);
    if (r->plan->changed)
        (void)stage_empty(r->s, r->old, NULL); /* what stays is dropped by the next import */
    return rc;
}

int import_run(const struct import_args *a, int fd, struct last_import *last, struct failure *f,
               struct err *e)
{
    struct run r = {.a = a, .fd = fd};
    int64_t begin = clock_mono_ms();
    int rc;

    memset(f, 0, sizeof(*f));
    r.stage = xasprintf("%s_eefs_stage", a->database);
    r.old = xasprintf("%s_eefs_old", a->database);
    rc = judge(&r, f, e);
    if (rc == 0 && a->dry_run) {
        plan_print(r.plan);
        goto out;
    }
    if (rc == 0)
        rc = carry_out(&r, begin, last, f, e);
    if (rc < 0 && r.s && !f->code)
        f->code = r.s->code;
out:
    plan_free(r.plan);
    server_close(r.s);
    dump_free(r.dump);
    free(r.stage);
    free(r.old);
    return rc;
}
