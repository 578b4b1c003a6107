/* SPDX-License-Identifier: MIT */
/* owner: the owner of files that mirrors write (--owner USER[:GROUP]). */
#ifndef EEFS_MASTER_FOLDER_OWNER_H
#define EEFS_MASTER_FOLDER_OWNER_H

#include <stdint.h>

#include "sync/common/err.h"

/* Names or numbers; without GROUP the user's own group. NULL: both are -1. -EINVAL. */
int owner_find(const char *text, int64_t *ret_uid, int64_t *ret_gid, struct err *e);
/* Tries it on a file in the folder `state`: -EPERM with the capabilities that the server lacks. */
int owner_check(const char *text, int64_t uid, int64_t gid, const char *state, struct err *e);

#endif
