/* SPDX-License-Identifier: MIT */
/*
 * patience: what to do with tables and rows that are in use.
 *
 * A commit waits at most 1 s for locks, for whoever comes after it waits behind it; then it steps
 * back for a while, longer each time and never quite the same, and tries again. Nobody is killed;
 * who is in the way is told. One thread.
 */
#ifndef EEFS_SQLIMPORT_PATIENCE_H
#define EEFS_SQLIMPORT_PATIENCE_H

#include "sqlimport/server.h"

struct patience {
    int64_t until_ms; /* clock_mono_ms() at which patience ends */
    int64_t pause_ms; /* the next one */
    int tries;
    const volatile int *stop;
};

void patience_init(struct patience *w, int64_t patience_ms, const volatile int *stop);
/* Steps back. false: patience is over, or stop was asked for. */
bool patience_again(struct patience *w);

/* malloc'd: who is in the way, as far as the account may see it; for a log. */
char *patience_blockers(struct server *s, const char *database);

#endif
