/* SPDX-License-Identifier: MIT */
/*
 * install: puts contents from mirrors into the folder so that no program ever sees half of one: a
 * temporary file in staging, attributes, fsync, rename, fsync of the folder. Committer's thread.
 */
#ifndef EEFS_MASTER_FOLDER_INSTALL_H
#define EEFS_MASTER_FOLDER_INSTALL_H

#include <sys/stat.h>

#include "sync/master/db/tree.h"
#include "sync/master/folder/folder.h"

/* The bits of a file's mode that a mirror may set: it must not create programs that run as another
 * user. */
#define INSTALL_FILE_MODE 01777

struct install_attr {
    mode_t mode, umask; /* umask: op.h */
    int64_t mtime;
    const char *like; /* path of the file of which a new one is a copy; NULL: none */
};

/* Creates missing folders on the way to `path`. -ENOTDIR: another entry is in the way. */
int install_parents(struct folder *f, const char *path);
/*
 * Sets mode, mtime, owner and what is inherited (inherit.h), syncs, and puts staging file `tmp`
 * (content `now`) at `path`, where `was` is (replace.h; ENTRY_GONE: nothing). *st is the file's
 * stat afterwards. -EEXIST or -EBUSY: a local file came or is being written; `tmp` is there as
 * after every failure, and may be placed elsewhere.
 */
int install_file(struct folder *f, char *tmp, const char *path, const struct row *was,
                 const struct install_attr *a, const struct hash *now, struct stat *st);
/* The steps of install_file(), between which the caller syncs: of the staging file `fd` that goes to
 * `base` in the open folder `dir`, what it has beside its content; then the synced staging file
 * `tmp` to `path` in `dir`, which the caller then syncs ("" in `tmp` then). Errors as above. */
int install_prepare(struct folder *f, int fd, int dir, const char *base,
                    const struct install_attr *a);
int install_place(struct folder *f, char *tmp, int dir, const char *path, const struct row *was,
                  const struct hash *now);
/*
 * Sets owner and group of the file `fd` that a mirror put into the open folder `dir`: those of
 * --owner; else of the file that it replaces (`was`, may be NULL); else the folder's, as far as the
 * server may (group of a setgid folder; all as root). -EPERM: --owner cannot be given.
 */
int install_owner(const struct folder *f, int fd, int dir, const struct stat *was);
/* False when the filesystem says of names with the parts of this one that they are not there: it
 * does not take them. Asked in staging, where nobody removes a folder meanwhile. */
bool install_takes_name(const struct folder *f, const char *base);
/* mode (-1: leave) and mtime (NULL: leave) of a file or folder; of a link the mtime only
 * (mode: -ELOOP). */
int install_attrs(const struct folder *f, const char *path, int64_t mode, const int64_t *mtime);

#endif
