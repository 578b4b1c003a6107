/* SPDX-License-Identifier: MIT */
/*
 * history: what was imported, in SQLite under --state: one row per import, the state of each table
 * and object as of the last one, and the dump that failed. One thread.
 */
#ifndef EEFS_SQLIMPORT_HISTORY_H
#define EEFS_SQLIMPORT_HISTORY_H

#include "sqlimport/state.h"

struct history;

/* Opens STATE/import-NAME.db. */
int history_open(const char *dir, const char *name, struct history **ret, struct err *e);
void history_close(struct history *h);

/* Of the last import; zeroes when there is none. */
int history_last(struct history *h, struct last_import *last, struct failure *f, struct err *e);
int history_add(struct history *h, const struct last_import *last, struct err *e);
int history_fail(struct history *h, const struct failure *f, struct err *e);

/* This machine's secret for rowhash, made at the first call. */
int history_secret(struct history *h, struct hash *ret, struct err *e);

/* How an object looked right after its import: its dump hash and what the server said of it
 * ("mark": creation and update time and the server's start). false: not known. */
bool history_object(struct history *h, const char *kind, const char *name, struct hash *hash,
                    char *mark, size_t cap);
int history_set_object(struct history *h, const char *kind, const char *name,
                       const struct hash *hash, const char *mark);
int history_begin(struct history *h);
int history_commit(struct history *h);

#endif
