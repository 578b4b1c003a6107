/* SPDX-License-Identifier: MIT */
/*
 * displaced: files that were taken out of the folder (replace.h), and wait in staging until it is
 * sure that no local writer changes them any more (versions/settle.h). Thread safe.
 *
 * A name holds all that a restart must know: "over-<16 hex: digest of the path>-<64 hex: its
 * content then>-<64 hex: content now at the path>-<8 hex>".
 */
#ifndef EEFS_MASTER_FOLDER_DISPLACED_H
#define EEFS_MASTER_FOLDER_DISPLACED_H

#include "sync/master/db/tree.h"
#include "sync/master/folder/staging.h"
#include "sync/master/folder/folder.h"

struct displaced; /* those that wait, the first that is due first */

struct displaced_file {
    struct displaced_file *next;
    char name[STAGING_NAME_CAP]; /* in staging */
    char *path;                  /* owned; NULL after a restart: found by displaced_is_of() */
    char *top;                   /* owned; of its volume */
    struct hash was, now; /* its content when it was taken, and the content that replaced it */
    int64_t due;          /* clock_mono_ms() */
};

/* A new name for what is taken from `path`, `was`, when `now` (none: nothing) is put there. `out`
 * holds STAGING_NAME_CAP bytes. */
void displaced_name(const char *path, const struct hash *was, const struct hash *now, char *out);
/* The file of that name, without path and top; NULL: it is no such name. The caller frees it. */
struct displaced_file *displaced_parse(const char *name);
/* True when its name bears the digest of `path`. */
bool displaced_is_of(const struct displaced_file *f, const char *path);
void displaced_file_free(struct displaced_file *f);

struct displaced *displaced_new(void);
/* With all that still wait. NULL is fine. */
void displaced_free(struct displaced *d);
/* Takes f over; it is due in a second. */
void displaced_add(struct displaced *d, struct displaced_file *f);
/* The file `was` is in staging of the volume of `path`, under that name. */
void displaced_later(struct folder *folder, const char *name, const char *path,
                     const struct row *was, const struct hash *now);
/* Waits for the next one that is due; the caller's then. NULL: displaced_stop() was called. */
struct displaced_file *displaced_take(struct displaced *d);
void displaced_stop(struct displaced *d);

#endif
