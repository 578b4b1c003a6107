/* SPDX-License-Identifier: MIT */
/*
 * planner: decides what one import does with each table, from the dump, the live database and the
 * history.
 *
 * Deltas are taken when all changed tables allow it and little changed; tables that foreign keys
 * connect are swapped together. One thread.
 */
#ifndef EEFS_SQLIMPORT_PLAN_PLANNER_H
#define EEFS_SQLIMPORT_PLAN_PLANNER_H

#include "sqlimport/plan/keep_rules.h"
#include "sqlimport/plan/plan.h"

/* How far the marks and the row hashes of the last import are believed. */
enum trust {
    TRUST_HISTORY,
    TRUST_LIVE, /* live rows are compared */
    TRUST_NONE, /* no deltas: what is not surely unchanged is swapped */
};

/* The dump must live as long as the plan; the rest is used by plan_make() only. */
struct plan_args {
    const struct dump *dump;
    int fd; /* of the dump */
    struct server *server;
    const char *defaults_file; /* for a second connection, which reads live tables */
    struct history *history;
    const char *database;
    const char *row_cache_dir;
    struct keep_rules *keep; /* sees the tables of the dump and of the server */
    bool drop_missing;
    int64_t drop_limit; /* per cent of the tables imported earlier */
    enum trust trust;
    const volatile int *stop;
};

/* Caller frees *ret. -EPERM: the plan is impossible or forbidden, with a sentence; -EINTR: stopped;
 * -ESTALE: the dump changes; else as of server.h. */
int plan_make(const struct plan_args *a, struct plan **ret, struct err *e);

#endif
