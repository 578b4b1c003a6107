/* SPDX-License-Identifier: MIT */
/*
 * commit: the importer's own row, which is written by the same statement or transaction as the
 * import, so that its outcome can be read after a lost connection or a crash.
 *
 * It lies in the table _eefs_state of the staging schema: a random token and the dump's hash.
 */
#ifndef EEFS_SQLIMPORT_COMMIT_H
#define EEFS_SQLIMPORT_COMMIT_H

#include "sqlimport/record.h"
#include "sqlimport/server.h"
#include "sync/common/hash.h"

struct commit {
    const char *stage; /* name of the staging schema */
    char token[33];
    struct hash hash;
};

/* A new token. */
void commit_init(struct commit *c, const char *stage, const struct hash *hash);

/* For a transaction: makes sure the table is there (before it), and writes the row (in it). */
int commit_prepare_row(const struct commit *c, struct server *s, struct err *e);
int commit_write_row(const struct commit *c, struct server *s, struct err *e);

/* For a RENAME: a second table, with the row in it, that takes the first one's place. */
int commit_prepare_table(const struct commit *c, struct server *s, struct err *e);
/* Appends the renames that do so to those of the tables; what is there decides which. */
int commit_put_renames(const struct schemas *schemas, struct server *s, struct buf *b,
                       struct err *e);

/* 1: the commit with this token happened, 0: not, -errno: cannot be told now. */
int commit_is_done(const struct commit *c, struct server *s, struct err *e);

#endif
