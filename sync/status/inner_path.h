/* SPDX-License-Identifier: MIT */
/* inner_path: a path of this machine as the mount that holds it names it. Pure. */
#ifndef EEFS_STATUS_INNER_PATH_H
#define EEFS_STATUS_INNER_PATH_H

/* The tree path ("" for the mountpoint itself) of an absolute path within the mount at `point`, which
 * is as printable_utf8() has it; NULL: it is not within. The caller frees. */
char *mount_inner_path(const char *point, const char *path);

#endif
