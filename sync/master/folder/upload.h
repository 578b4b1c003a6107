/* SPDX-License-Identifier: MIT */
/*
 * upload: contents that mirrors send ahead of the operation that names them. Staged per mirror in
 * `.eefs/staging/up-<mirror>-<hash>` (".part" until verified): an upload belongs to its mirror
 * only. A newer request for the same content takes over from an older one, whose connection may be
 * dead. A mirror may have `upload_space` bytes staged (one upload alone any size); beyond that,
 * uploads without a write for a minute are removed, oldest first. Thread safe; one request drives
 * one struct upload.
 */
#ifndef EEFS_MASTER_FOLDER_UPLOAD_H
#define EEFS_MASTER_FOLDER_UPLOAD_H

#include "sync/common/hash.h"
#include "sync/master/folder/folder.h"

#define UPLOAD_NAME_CAP 128

struct upload;

struct uploads *uploads_new(struct folder *f);
void uploads_free(struct uploads *u);
/* Removes uploads without a write for 50 minutes; at the start also all other files that an earlier
 * run left. */
void uploads_clean(struct uploads *u, bool at_start);

/* Bytes staged so far; *complete when verified. 0 or -errno. */
int upload_have(struct uploads *u, const char *mirror, const struct hash *h, int64_t *have,
                bool *complete);
/* Opens for writing from offset `at` (0: anew); `total` bytes in all, -1 unknown. -ESPIPE: `at` is
 * not where the staged part ends; -ENOSPC; -EDQUOT: the mirror has as much under way as it may. */
int upload_begin(struct uploads *u, const char *mirror, const struct hash *h, int64_t at,
                 int64_t total, struct upload **ret);
/* 0, -ECANCELED (a newer request took over), -ENOSPC or -EDQUOT (as above), or -errno. */
int upload_write(struct upload *up, const void *data, size_t len);
/* Ends and frees. With *have == total the content is verified: 1 complete, 0 partial, -EBADMSG
 * (thrown away). */
int upload_end(struct upload *up, bool complete, int64_t *have);

/* Moves the mirror's complete content to the staging file `name` of the volume that was entered.
 * -ENOENT: not uploaded; -EXDEV: that is another filesystem. */
int upload_take(struct uploads *u, const char *mirror, const struct hash *h, const char *name);
/* Where it is, in the root's own staging: `out` holds UPLOAD_NAME_CAP bytes. */
void upload_name(const char *mirror, const struct hash *h, char *out);
/* It was copied from there. */
void upload_forget(struct uploads *u, const char *mirror, const struct hash *h);

#endif
