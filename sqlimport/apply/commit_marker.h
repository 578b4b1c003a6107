/* SPDX-License-Identifier: MIT */
/*
 * commit_marker: the importer's own mark of a commit, made by the same statement or transaction, so
 * that the outcome can be read after a lost connection or a crash. Each commit has a random token.
 * One thread.
 *
 * A transaction writes a row of the table _eefs_state of the staging schema. A RENAME takes an
 * empty table along, the marker, last of all: from _eefs_todo_TOKEN to _eefs_done_TOKEN.
 */
#ifndef EEFS_SQLIMPORT_APPLY_COMMIT_MARKER_H
#define EEFS_SQLIMPORT_APPLY_COMMIT_MARKER_H

#include "sqlimport/apply/move_record.h"
#include "sqlimport/server/server.h"
#include "sync/common/hash.h"

#define COMMIT_STATE "_eefs_state" /* stays in the staging schema from one import to the next */

struct commit_marker {
    const char *stage; /* name of the staging schema */
    char token[33];
    struct hash hash;
};

/* A new token. */
void commit_marker_init(struct commit_marker *c, const char *stage, const struct hash *hash);

/* For a transaction. Before it: makes sure that the table is there. In it: writes the row. After a
 * lost connection: 1: it was committed, 0: it was not, -errno: the server cannot be asked now. */
int commit_marker_prepare_row(const struct commit_marker *c, struct server *s, struct err *e);
int commit_marker_write_row(const struct commit_marker *c, struct server *s, struct err *e);
int commit_marker_row_is_done(const struct commit_marker *c, struct server *s, struct err *e);

/* For a RENAME. Before it: makes the marker. Appends the marker's rename to the statement, if it is
 * still to be done. After it: 1: it is done, 0: it is not, -errno. At the end of all: drops
 * markers. */
int commit_marker_prepare_marker(const struct commit_marker *c, struct server *s, struct err *e);
int commit_marker_put_rename(const char *stage, const char *token, struct server *s, struct buf *b,
                             struct err *e);
int commit_marker_is_done(const char *stage, const char *token, struct server *s, struct err *e);
int commit_marker_drop_markers(const char *stage, struct server *s, struct err *e);

#endif
