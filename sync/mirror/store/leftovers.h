/* SPDX-License-Identifier: MIT */
/*
 * leftovers: files that an earlier run left in staging. Most of it is content that was being
 * written or fetched, and goes. What a program had closed, but could not be logged (a full or bad
 * disk), bears a name that begins with "kept-" (store_keep(), store_keep_object()) and becomes an
 * object, which bears the path of the file (store_note_path()).
 */
#ifndef EEFS_MIRROR_STORE_LEFTOVERS_H
#define EEFS_MIRROR_STORE_LEFTOVERS_H

#include "sync/mirror/store/store_admin.h"

/*
 * Clears staging, before anybody else uses the store. Returns the number of contents that were
 * kept; those that cannot be read or moved for now stay in staging for the next mount and count as
 * well.
 */
int store_adopt_leftovers(struct store *s);

#endif
