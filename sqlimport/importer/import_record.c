/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/import_record.h"

#include <string.h>

#include "sync/common/clock.h"

int import_record_untold(struct run *r, struct err *e)
{
    int rc = history_begin(r->a->history);

    for (size_t i = 0; i < r->plan->n && rc >= 0; i++)
        if (r->plan->steps[i].action != ACTION_KEEP && r->plan->steps[i].action != ACTION_UNCHANGED)
            rc = history_add_untold(r->a->history, r->plan->steps[i].name);
    rc = history_end(r->a->history, rc);
    return rc < 0 ? err_sys(e, -rc, "cannot write the import history") : 0;
}

static int record_tables(struct run *r)
{
    int rc = 0;

    for (size_t i = 0; i < r->plan->n && rc >= 0; i++) {
        const struct step *st = &r->plan->steps[i];
        struct past past = {.def = st->def.hash, .live_def = st->live_def};
        if (!st->o) {
            rc = history_forget(r->a->history, "TABLE", st->name);
            if (rc >= 0)
                rc = history_forget(r->a->history, "SEQUENCE", st->name);
        }
        if (st->action == ACTION_KEEP || !st->o ||
            (st->action == ACTION_UNCHANGED && !st->has_live_def))
            continue;
        past.hash = st->o->hash;
        past.probe = st->probe;
        past.compared_ms = st->action == ACTION_DELTA && !st->rows_read ? st->past.compared_ms
                                                                        : clock_wall_ns() / 1000000;
        memcpy(past.mark, st->mark, sizeof(past.mark));
        rc = history_set_object(r->a->history, object_kind_name(st->o->kind), st->name, &past);
    }
    return rc;
}

int import_record_write(struct run *r, const struct last_import *last, struct err *e)
{
    struct history *h = r->a->history;
    int rc = history_begin(h);

    if (rc >= 0)
        rc = record_tables(r);
    for (size_t i = 0; i < r->dump->n && rc >= 0; i++) {
        const struct object *o = r->dump->objects[i];
        struct past past = {.hash = o->hash};
        if (!object_is_table(o))
            rc = history_set_object(h, object_kind_name(o->kind), o->name, &past);
    }
    if (rc >= 0)
        rc = history_add(h, last, e);
    rc = history_end(h, rc);
    return rc < 0 ? err_sys(e, -rc, "cannot write the import history") : 0;
}
