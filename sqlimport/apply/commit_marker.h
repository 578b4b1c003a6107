/* SPDX-License-Identifier: MIT */
/*
 * commit_marker: the importer's own mark of an import, made by the same statement or transaction as the
 * import, so that its outcome can be read after a lost connection or a crash. A random token tells
 * one import from another.
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

/* For a transaction: makes sure the table is there (before it), writes the row (in it), and whether
 * it did: 1, 0, or -errno when it cannot be told now. */
int commit_marker_prepare_row(const struct commit_marker *c, struct server *s, struct err *e);
int commit_marker_write_row(const struct commit_marker *c, struct server *s, struct err *e);
int commit_marker_row_is_done(const struct commit_marker *c, struct server *s, struct err *e);

/* For a RENAME: makes the marker, appends its rename when it is still to be done, and whether it
 * is: 1, 0, -errno. */
int commit_marker_prepare_marker(const struct commit_marker *c, struct server *s, struct err *e);
int commit_marker_put_rename(const char *stage, const char *token, struct server *s, struct buf *b,
                             struct err *e);
int commit_marker_is_done(const char *stage, const char *token, struct server *s, struct err *e);
int commit_marker_drop_markers(const char *stage, struct server *s, struct err *e);

#endif
