/* SPDX-License-Identifier: MIT */
/*
 * rundir: the folder in which running programs are found: --rundir, else $EEFS_RUNDIR, else
 * /run/eefs.
 *
 *   mount-<instance>.sock    control socket of a mount (mode 0666; what a peer may do goes by uid)
 *   mount-<instance>.at      symlink to its mountpoint: whose socket it is when nobody answers on it
 *   master-<id>.sock         control socket of eefs-master serve
 *   import-<name>.json       state of a database import, replaced atomically by eefs-sqlimport
 */
#ifndef EEFS_COMMON_RUNDIR_H
#define EEFS_COMMON_RUNDIR_H

#include "sync/common/err.h"

/* The folder to use; `option` may be NULL. Static or environment storage, never freed. */
const char *rundir_path(const char *option);

/* Creates the folder (0755) when missing. */
int rundir_ensure(const char *rundir, struct err *e);

/* malloc'd "RUNDIR/kind-name.suffix"; '/' in name becomes '-', a leading one is dropped. */
char *rundir_file(const char *rundir, const char *kind, const char *name, const char *suffix);

/* Records the mountpoint of a mount's socket beside it (socket path … ".sock"). 0 or -errno. */
int rundir_note_point(const char *socket, const char *point);
/* The recorded mountpoint, malloc'd; NULL: none. Touches the run directory only. */
char *rundir_point(const char *socket);

/* Calls fn(arg, path) for every such file of one kind, by name; none when the folder cannot be
 * read. */
void rundir_each(const char *rundir, const char *kind, const char *suffix,
                 void (*fn)(void *arg, const char *path), void *arg);

#endif
