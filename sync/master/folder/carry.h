/* SPDX-License-Identifier: MIT */
/*
 * carry: contents that an operation needs in the staging of a filesystem, and that are not there:
 * an upload (all arrive in the root's own staging), a served file that gets a name on another
 * filesystem, or a second file with the content of one that is served; or that goes into the folder
 * of --conflicts. And uploads that are to be in the store of kept contents (kept.h) before they are
 * put into the folder. A small one is copied at once; for a larger one the committer puts the
 * request aside and goes on with others, while a carrier's thread copies; then the request is
 * applied from that operation on.
 *
 *      batch_apply ── carry_copy(): -EINPROGRESS ──> batch_finish ── carrier_add() ──> carrier's thread
 *          ^                                                                        │ copies
 *          └──────────────────────── committer_ops() <── done() <──────────────────┘
 */
#ifndef EEFS_MASTER_FOLDER_CARRY_H
#define EEFS_MASTER_FOLDER_CARRY_H

#include "sync/common/hash.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/staging.h"

/* Bytes that the committer copies by itself. */
#define CARRY_AT_ONCE (64 << 10)

/* The content that one request waits for, or has got; all zero at first. Belongs to the thread that
 * has the request. */
struct carry {
    bool wanted; /* the request is to be put aside for it */
    bool keep;   /* to the store; else to staging */
    int64_t n;   /* the operation, … */
    struct hash hash;
    int64_t size;
    char *from, *to;            /* … see carry_copy() */
    int result;                 /* once it is not wanted any more: 0 or -errno */
    char tmp[STAGING_NAME_CAP]; /* in staging; "": taken, or there is none */
    /* the carrier's, from carrier_add() until it calls done() */
    struct carry *next;
    const char *mirror;
    void (*done)(void *arg);
    void *arg;
};

struct carrier;

/* `name` is the thread's. */
int carrier_start(struct folder *f, const char *name, struct carrier **ret, struct err *e);
/* Ends pending copies with -ESHUTDOWN; before committer_stop(). */
void carrier_stop(struct carrier *c);
void carrier_free(struct carrier *c);
/* Carries what is wanted for the mirror (by name, kept until then), and calls done(arg), from its
 * thread, or from this one when it is stopping. */
void carrier_add(struct carrier *c, struct carry *carry, const char *mirror,
                 void (*done)(void *arg), void *arg);

/* --- for the committer --- */

/*
 * Stages the content `hash` (`size` bytes) as `tmp`, STAGING_NAME_CAP bytes, in the volume of the
 * path `to` (NULL: the folder of --conflicts), which was entered, for the operation `n`. It is that
 * of the served file `from`, or of the mirror's upload (NULL). 0; -EINPROGRESS: it is wanted now;
 * -ENOENT: the content is not there (any more); -EAGAIN: the operation had one already; -errno.
 */
int carry_copy(struct folder *f, struct carry *c, int64_t n, const struct hash *hash, int64_t size,
               const char *from, const char *to, char *tmp);
/* Has the mirror's upload of the operation `n` copied to the store. -EINPROGRESS: it is wanted now;
 * 0: that was done, as far as it could be. */
int carry_keep(struct folder *f, struct carry *c, int64_t n, const struct hash *hash, int64_t size);
/* 1: what was carried for operation `n` is `tmp` now; 0: nothing is in this staging. */
int carry_take(struct folder *f, struct carry *c, int64_t n, const struct hash *hash, char *tmp);
/* Removes what was carried and not taken. The volume that was entered is left. */
void carry_drop(struct folder *f, struct carry *c);

#endif
