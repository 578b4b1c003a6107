/* SPDX-License-Identifier: MIT */
/*
 * kept: the store of contents that can be restored: files `kept/<2 digits>/<hash>` in `.eefs` or
 * the folder of --store (the same filesystem, so a copy is a reflink where it can be), and a row
 * for each in the table `kept`. Each file is named by its hash and verified when it is used, so
 * nothing is synced and nothing needs to be consistent after a crash: keeper.c reconciles rows and
 * files at the start.
 *
 * Writers change files in place, so a content must be kept while it is current. Which are:
 *   - what a mirror wrote, before it is put into the folder (up to 1 MiB, or where reflinks work,
 *     or when it goes to another filesystem), and else as all that is published after the first
 *     scan: by the keeper thread, within moments;
 *   - what a mirror replaces or removes: the file itself is moved here (settle.c);
 *   - what was there at the first scan: slowly, small files first, up to half of the space.
 * Not: files larger than keep-file, patterns of keep-except, dumps (`sql/`), and what would leave
 * less than a tenth of the disk (at most 1 GiB) free.
 *
 * A content of no path goes at once, but for those whose path is lost: found without a row, or with
 * a damaged database. They stay for keep-age, "unnamed".
 *
 * Beyond keep-space the oldest go first: contents of no path, then versions by the time they
 * ended, then current ones. Deltas will find their bases here: a content that a mirror may hold
 * is one that was current when it was kept.
 */
#ifndef EEFS_MASTER_FOLDER_KEPT_H
#define EEFS_MASTER_FOLDER_KEPT_H

#include <jansson.h>
#include <pthread.h>

#include "sync/common/hash.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"

struct kept;

struct kept_rules {
    int64_t space; /* bytes; 0: nothing is kept */
    int64_t age_ms, file, versions;
    struct strlist except; /* the caller's, lives on */
};

/* `rules` are copied; their list stays the caller's. */
struct kept *kept_new(struct folder *f, const struct kept_rules *rules);
/* NULL is fine. */
void kept_free(struct kept *k);

/* True when the rules admit a content of that path and size. */
bool kept_wants(struct kept *k, const char *path, int64_t size);
bool kept_has(const struct folder *f, const struct hash *h);
/* It is not there; false also when a disk that fails does not tell. */
bool kept_lacks(const struct folder *f, const struct hash *h);

/* Moves the staging file `tmp`, whose hash was verified, into the store; it is gone from staging in
 * any case. Any thread; the row follows soon. */
void kept_adopt(struct kept *k, const char *tmp, const struct hash *h, int64_t size);
/* Removes the content of that name, which does not have that hash (any more). */
void kept_damaged(struct kept *k, const struct hash *h, int64_t size);
/* Keeps a copy of the staging file `tmp` of a mirror's write to `path`, if that can be done at
 * once: of a small one, or by a clone (reflink). Committer's thread. */
void kept_staged(struct kept *k, const char *tmp, const char *path, const struct hash *h,
                 int64_t size);

/* A content of that size for `path`, in the volume that was entered, is to be copied to the store
 * before it is put there, and not by the committer: no clone can be made here, as was seen. */
bool kept_needs_copy(struct kept *k, const char *path, const struct hash *h, int64_t size);

/* {"files","bytes","space","unkept_files","unkept_bytes","versions","lost_versions",
 * "unnamed_files","unnamed_bytes"}; new. */
json_t *kept_report(struct kept *k);

/* --- for the keeper (versions/keeper.h) --- */

struct kept_note {
    struct kept_note *next;
    struct hash hash;
    int64_t size;
    bool found; /* without a row, in the store */
};

struct kept {
    struct folder *folder;
    struct kept_rules rules;
    _Atomic int64_t bytes, files; /* in the store */
    _Atomic int64_t unkept_files, unkept_bytes, versions, lost, unnamed_files, unnamed_bytes;
    atomic_bool no_clones;      /* the filesystem makes none */
    pthread_mutex_t files_lock; /* guards counted; held while a file comes in, or goes other than by
                                 * the keeper, and is counted, and while the keeper counts a folder;
                                 * never for a copy */
    bool counted[256];          /* folders of the store, by the first byte of its hashes */
    pthread_mutex_t lock;       /* guards the rest; taken last */
    struct kept_note *notes;    /* in the store, without a row yet */
};

/* Put notes (a list) back, and take all of them. */
void kept_notes_add(struct kept *k, struct kept_note *notes);
struct kept_note *kept_notes_take(struct kept *k);
/* "kept/ab/s2-ab…" below root_private_fd(); out holds KEPT_PATH_CAP bytes. */
#define KEPT_DIR      "kept"
#define KEPT_PATH_CAP 96
void kept_path(const struct hash *h, char *out);
/* True when the free space admits `size` more bytes. */
bool kept_room(const struct folder *f, int64_t size);

#endif
