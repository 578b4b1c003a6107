/* SPDX-License-Identifier: MIT */
/*
 * intents: notes of which file an operation is about to move where (ops/intent_log.h), one for each
 * operation of an outbox of a mirror that is not answered. Writes are part of the caller's
 * transaction.
 */
#ifndef EEFS_MASTER_DB_INTENTS_H
#define EEFS_MASTER_DB_INTENTS_H

#include "sync/common/db.h"
#include "sync/proto/op.h"

struct intent {
    char *life;  /* the period in which inode numbers keep their meaning (intent_log.c) */
    char *path;  /* path of the moved file; NULL: it comes out of staging */
    char *lands; /* its new path; NULL: out of the folder */
    int64_t ino; /* of what is moved */
    int64_t
        over; /* inode of the file that a rename replaced: a kill may have left it at the old name; 0 */
    enum op_result result;
};

/* The texts, if they are the struct's own; it is empty then. */
void intent_release(struct intent *i);

/* That of operation `n`, not known to be made, in the place of what it had. 0 or -errno. */
int intents_put(struct db *db, const char *mirror, const char *outbox, int64_t n,
                const struct hash *digest, const struct intent *i);
/* 1: operation `n` is known to be made, as *ret says (the caller releases it). 0: no, or there is no
 * note of it. -errno; *ret is empty then. */
int intents_find_made(struct db *db, const char *mirror, const char *outbox, int64_t n,
                      const struct hash *digest, struct intent *ret);
/* Operation `n` has no note any more, nor have those whose answers are forgotten (answers.h). 0 or
 * -errno. */
int intents_remove(struct db *db, const char *mirror, const char *outbox, int64_t n);
/* The mirror is removed. 0 or -errno. */
int intents_forget(struct db *db, const char *mirror);

/* Of each note that is not known to be made: fn returns 1 (it is made), 0 (the note goes) or -errno,
 * which ends it. fn must not use `db`. 0 or -errno. */
int intents_judge(struct db *db, int (*fn)(void *arg, const struct intent *i), void *arg);

#endif
