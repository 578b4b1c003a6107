/* SPDX-License-Identifier: MIT */
#include "sqlimport/apply/swap.h"

#include <errno.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#include "sqlimport/apply/loans.h"
#include "sqlimport/apply/old_tables.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"

static void make_moves(const struct swap *w, struct moves *m)
{
    memset(m, 0, sizeof(*m));
    memcpy(m->token, w->commit->token, sizeof(m->token));
    for (size_t i = 0; i < w->plan->n; i++) {
        const struct step *st = &w->plan->steps[i];
        char *place = old_tables_name(st->name, m->token);
        struct move *v = NULL;

        if (step_is_swap(st) && !st->live)
            v = moves_add(m, MOVE_NEW, st->name, NULL, NULL);
        else if (step_is_swap(st) || st->action == ACTION_DROP)
            v = moves_add(m, step_is_swap(st) ? MOVE_REPLACE : MOVE_DROP, st->name,
                          st->aside ? w->schemas->database : w->schemas->old, place);
        if (v) {
            v->live = st->live;
            v->staged = step_is_swap(st);
        }
        free(place);
    }
}

/* --- the rename --- */

int swap_prepare(const struct swap *w, struct server *s, struct moves *ret, struct err *e)
{
    int r;

    make_moves(w, ret);
    r = move_record_forget(w->schemas, s, e);
    if (r == 0)
        r = loans_prepare(w->plan, w->schemas, ret, s, e);
    if (r == 0)
        r = move_record_prove(w->schemas, ret, s, e);
    if (r == 0)
        r = commit_marker_prepare_marker(w->commit, s, e);
    crash_point("import.prepare");
    if (r == 0)
        r = move_record_write(w->schemas, ret, s, e);
    return r;
}

/* The server refused because somebody created, dropped or changed a table since the plan. */
static bool overtaken(const struct swap *w, struct server *s)
{
    struct live now;
    bool r = false;

    switch (s->code) {
    case ER_TABLE_EXISTS_ERROR:
    case ER_NO_SUCH_TABLE:
    case ER_FILE_NOT_FOUND:
    case ER_BAD_TABLE_ERROR:
    case ER_TRG_IN_WRONG_SCHEMA:
    case ER_FORBID_SCHEMA_CHANGE:
        break;
    default:
        return false;
    }
    if (live_read(s, w->schemas->database, &now, NULL) < 0)
        return false;
    for (size_t i = 0; i < w->plan->n && !r; i++) {
        const struct step *st = &w->plan->steps[i];
        const struct live_table *t = live_find(&now, st->name);
        if (step_is_swap(st) || st->action == ACTION_DROP)
            r = st->live != (t != NULL) || (t && st->aside != (t->triggers || t->view));
    }
    live_release(&now);
    return r;
}

int swap_try(const struct swap *w, const struct moves *m, struct server *s, struct err *e)
{
    struct buf b = BUF_INIT;
    struct err why = {0};
    int r;

    move_record_put_renames(w->schemas, m, VERDICT_FORWARD, &b);
    r = commit_marker_put_rename(w->schemas->stage, m->token, s, &b, e);
    crash_point("import.swap");
    if (r == 0) {
        r = server_run(s, b.data, b.len, &why);
        if (r == -EREMOTEIO && overtaken(w, s))
            r = err_set(
                e, ESTALE,
                "somebody created, dropped or changed a table of '%s' during the import (%s)",
                w->schemas->database, why.text);
        else if (r < 0 && e)
            *e = why;
    }
    crash_point("import.swapped");
    buf_release(&b);
    return r;
}
