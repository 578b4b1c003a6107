/* SPDX-License-Identifier: MIT */
/*
 * slot: the folder that dumps are dropped into, on an eefs mount or anywhere else.
 *
 * On a mount the control socket of its instance carries the change stream and the conditional
 * removal; a slot never touches another part of the mount. One thread.
 */
#ifndef EEFS_SQLIMPORT_SLOT_H
#define EEFS_SQLIMPORT_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "sync/common/err.h"
#include "sync/common/hash.h"

struct slot;

/* file: the dump's name in the folder. Does not need the folder to exist yet. */
struct slot *slot_new(const char *dir, const char *file, const char *rundir);
void slot_free(struct slot *s);

/* Opens the dump. 1: *ret_fd and *st are filled; 0: there is none; -errno. */
int slot_find(struct slot *s, int *ret_fd, struct stat *st, struct err *e);

/* There is a dump of another name that lies there for a minute, which nobody here imports: true,
 * and the name of one. */
bool slot_stranger(const struct slot *s, char *ret, size_t cap);

/* Removes the dump if it still has these bytes (hash) and, in a plain folder, is the file of fd.
 * 0: gone; -ESTALE: another one lies there now, which stays. */
int slot_remove(struct slot *s, int fd, const struct hash *hash, struct err *e);

/* Waits for a change in the slot, at most timeout_ms; ends early when wake_fd becomes readable. */
void slot_wait(struct slot *s, int64_t timeout_ms, int wake_fd);

#endif
