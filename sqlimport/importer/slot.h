/* SPDX-License-Identifier: MIT */
/*
 * slot: the folder into which dumps are put, on an eefs mount or anywhere else.
 *
 * On a mount the control socket of its instance carries the change stream and the conditional
 * removal; a slot never touches another part of the mount. One thread.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_SLOT_H
#define EEFS_SQLIMPORT_IMPORTER_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "sqlimport/importer/witness.h"
#include "sync/common/err.h"
#include "sync/common/hash.h"

struct slot;

struct slot_args {
    const char *dir, *rundir;
    const char *name;     /* of this importer, as in its report */
    const char *file;     /* the dump's name in the folder, or NULL: see slot_find() */
    const char *database; /* its dumps are DATABASE.sql, .sql.gz and .sql.zst */
    const char *last;     /* name of the dump imported last; "" when there was none */
    bool once;            /* somebody asked for it: take any single dump, and at once */
};

/* Strings are copied. Does not need the folder to exist yet. */
struct slot *slot_new(const struct slot_args *a);
void slot_free(struct slot *s);

/*
 * Opens the dump: `file`, or else the one with the database's name, or the name imported last, or,
 * when nothing was imported under another name yet, whichever single dump lies there that no other
 * importer of this machine waits for. 1: *ret_fd and *st are filled, and slot_file() is its name;
 * 0: there is none; -EEXIST: several, or one that was not expected: *e names them; -errno.
 */
int slot_find(struct slot *s, int *ret_fd, struct stat *st, struct err *e);
const char *slot_file(const struct slot *s);
/* It was imported: its name is the one to expect from now on. */
void slot_took(struct slot *s);

struct slot_taken {
    int fd;                        /* of the dump, as slot_find() gave it */
    const struct hash *hash;       /* of the bytes that were read from it */
    const struct witness *witness; /* of those bytes, or NULL */
};

/* Removes the dump if it still has these bytes and, in a plain folder, is the file of fd. It is
 * read again there for that, unless the witness holds. 0: gone; -ESTALE: another one lies there
 * now, which stays. */
int slot_remove(struct slot *s, const struct slot_taken *t, struct err *e);

/* Waits for a change in the slot, at most timeout_ms; ends early when wake_fd becomes readable. */
void slot_wait(struct slot *s, int64_t timeout_ms, int wake_fd);

#endif
