/* SPDX-License-Identifier: MIT */
#include "sqlimport/apply/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sqlimport/apply/commit_marker.h"
#include "sqlimport/apply/old_tables.h"
#include "sqlimport/apply/recover.h"
#include "sqlimport/apply/stage.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"

/* *ret: how the last RENAME ended. */
static int clear(const struct schemas *c, struct server *s, enum settled *ret, struct err *e)
{
    char *copied = NULL;
    size_t back;
    int r = recover_settle(c, s, ret, &copied, e);

    free(copied); /* only of a server that died, whose connection is lost */
    if (r == 0 && *ret >= SETTLED_DONE)
        r = recover_finish(c, s, NULL, e);
    return r < 0 ? r : old_tables_sweep(c, s, &back, NULL, e);
}

int exchange_begin(const struct schemas *c, struct server *s, struct err *e)
{
    enum settled settled;
    int r = stage_make(s, c->stage, e);

    if (r == 0)
        r = stage_make(s, c->old, e);
    return r < 0 ? r : clear(c, s, &settled, e);
}

static int prepare(const struct schemas *c, const struct commit_marker *commit, struct moves *m,
                   const char *name, struct server *s, struct err *e)
{
    char *place = old_tables_name(name, commit->token);
    struct move *v;
    int r;

    snprintf(m->token, sizeof(m->token), "%s", commit->token);
    v = moves_add(m, MOVE_VIEW, name, c->database, place);
    v->live = v->staged = true;
    free(place);
    r = move_record_prove(c, m, s, e);
    if (r == 0)
        r = commit_marker_prepare_marker(commit, s, e);
    return r < 0 ? r : move_record_write(c, m, s, e);
}

static int rename_both(const struct schemas *c, const struct moves *m, struct server *s,
                       struct err *e)
{
    struct buf b = BUF_INIT;
    int r;

    move_record_put_renames(c, m, VERDICT_FORWARD, &b);
    r = commit_marker_put_rename(c->stage, m->token, s, &b, e);
    crash_point("import.view");
    if (r == 0)
        r = server_run(s, b.data, b.len, e);
    crash_point("import.viewed");
    buf_release(&b);
    return r;
}

int exchange_view(const struct schemas *c, const struct hash *hash, const char *name,
                  struct server *s, struct err *e)
{
    struct moves m = {.n = 0};
    struct commit_marker commit;
    enum settled settled = SETTLED_NOTHING;
    struct err e2 = {0};
    int r, r2;

    commit_marker_init(&commit, c->stage, hash);
    r = prepare(c, &commit, &m, name, s, e);
    if (r == 0)
        r = rename_both(c, &m, s, e);
    moves_release(&m);
    if (r == -ENOTCONN)
        return r;
    r2 = clear(c, s, &settled, &e2);
    if (settled >= SETTLED_DONE)
        r = 0; /* whatever was answered */
    if (r2 < 0 && (r == 0 || r2 == -ENOTRECOVERABLE)) {
        r = r2;
        if (e)
            *e = e2;
    }
    return r;
}
