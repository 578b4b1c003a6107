/* SPDX-License-Identifier: MIT */
/*
 * staging: puts contents from mirrors into the folder so that nobody ever sees half of one: a
 * temporary file in staging, attributes, fsync, rename, fsync of the folder. Committer's thread;
 * the carrier's (carry.h) copies, too.
 */
#ifndef EEFS_MASTER_FOLDER_STAGING_H
#define EEFS_MASTER_FOLDER_STAGING_H

#include "sync/master/master.h"

/* What a mirror may set of a file's mode: it makes no programs that run as somebody else. */
#define PLACE_FILE_MODE 01777

#define PLACE_NAME_CAP 168 /* "over-…" of displace.c is the longest */

struct place_attr {
    mode_t mode, umask; /* umask: op.h */
    int64_t mtime;
    const char *like; /* path of the file that a new one is a copy of; NULL: none */
};

/* An unused name in staging. */
void place_name(char *out);
/* True for such a name. */
bool place_is_name(const char *name);
/* Writes a staging file. 0 or -errno; nothing is left behind on failure. */
int place_data(struct master *m, const char *tmp, const void *data, size_t len);
/* Copies a served file into a staging file and checks its hash: -ENOENT when it is another. */
int place_copy(struct master *m, const char *tmp, int dir, const char *path,
               const struct hash *hash);
/* Makes a link in staging; mtime NULL: now. Nothing is left behind on failure. */
int place_link(const struct master *m, const char *tmp, const char *target, const int64_t *mtime);
/* Creates missing folders on the way to `path`. -ENOTDIR: something else is in the way. */
int place_parents(struct master *m, const char *path);
/*
 * Sets mode, mtime, owner and what is inherited (inherit.h), syncs, and puts staging file `tmp`
 * (content `now`) at `path`, where `was` is (displace.h; ENTRY_GONE: nothing). *st is the file's
 * stat afterwards. -EEXIST or -EBUSY: a local file came or is being written; `tmp` is there as
 * after every failure, and may be placed elsewhere.
 */
int place_file(struct master *m, char *tmp, const char *path, const struct row *was,
               const struct place_attr *a, const struct hash *now, struct stat *st);
/* Exchanges staging file `name` ("over-…") and `base` in the open folder `dir`. 0 or -errno. */
int place_exchange(int staging, const char *name, int dir, const char *base);
void place_discard(struct master *m, const char *tmp);
/*
 * Gives what mirrors put into the open folder `dir` its owner and group: those of --owner; else of
 * the file that it replaces (`was`, may be NULL); else the folder's, as far as the server may
 * (group of a setgid folder; all as root). -EPERM: --owner cannot be given.
 */
int place_give(const struct master *m, int fd, int dir, const struct stat *was);
/* Opens the folder that holds `path`. */
int place_open_parent(const struct master *m, const char *path);
/* False when the filesystem says of names with the parts of this one that they are not there: it
 * does not take them. Asked in staging, where nobody removes a folder meanwhile. */
bool place_takes_name(const struct master *m, const char *base);
/* mode (-1: leave) and mtime (NULL: leave) of a file or folder; of a link the mtime only
 * (mode: -ELOOP). */
int place_attrs(const struct master *m, const char *path, int64_t mode, const int64_t *mtime);

#endif
