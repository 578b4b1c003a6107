/* SPDX-License-Identifier: MIT */
/*
 * path: paths inside the shared tree.
 *
 * A tree path is relative, components separated by one '/', no leading or trailing '/', no empty,
 * "." or ".." component, any other bytes but NUL; "" is the root. Names are bytes: never folded,
 * never normalised. In messages, JSON and headers they travel percent-encoded (RFC 3986 syntax;
 * every byte outside 0x21..0x7e, and '%' and '"' and '\\', as %XX), so JSON stays ASCII.
 */
#ifndef EEFS_COMMON_PATH_H
#define EEFS_COMMON_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "sync/common/buf.h"

#define EEFS_NAME_MAX 255  /* bytes in one component, as in Linux */
#define EEFS_PATH_MAX 4000 /* bytes in a whole tree path; leaves room below PATH_MAX for a root */

/* 0, -EINVAL (form) or -ENAMETOOLONG. */
int path_check(const char *path);
/* The same for one component. */
int path_check_name(const char *name);

/*
 * A malloc'd tree path from the text that a person wrote: "/uploads", "./uploads" and "uploads//"
 * are "uploads"; "/" and "." are the root, "". -EINVAL: empty, or with a ".." component;
 * -ENAMETOOLONG. *ret untouched on failure.
 */
int path_from_text(const char *text, char **ret);

/* True when `path` is `dir` or lies below it. Everything lies below "". */
bool path_is_under(const char *path, const char *dir);

/* Pointer into `path` to its last component. */
const char *path_base(const char *path);

/* Length of the parent part of `path`: 0 when the parent is the root. */
size_t path_parent_len(const char *path);

/* malloc'd parent path; caller frees. */
char *path_parent(const char *path);

/* malloc'd "dir/name" ("name" when dir is ""); caller frees. */
char *path_join(const char *dir, const char *name);

/* Appends the percent-encoded form. */
void path_encode(struct buf *out, const char *path);
/* malloc'd encoded form; caller frees. For messages and JSON. */
char *path_encoded(const char *path);

/* Appends the decoded bytes of any percent-encoded text; 0 or -EINVAL (%00 and bad digits). */
int path_unescape(const char *text, struct buf *out);

/*
 * Decodes `text` into a malloc'd path (caller frees) and checks it with path_check.
 * Returns 0, -EINVAL or -ENAMETOOLONG; *ret untouched on failure.
 */
int path_decode(const char *text, char **ret);

/*
 * Shell pattern match of exclude and prefetch lists: fnmatch(3) without FNM_PATHNAME. A pattern
 * with a '/' is matched against the whole path, one without against each component's name; a
 * match of a folder covers what lies below it. A trailing '/' on a pattern is ignored; a leading
 * '/' or "./" makes it one for the whole path.
 */
bool path_matches(const char *pattern, const char *path);

/*
 * True when the pattern may match a name below the folder `dir` that it would not match below a
 * folder of another name: it applies to the whole path.
 */
bool path_matches_below(const char *pattern, const char *dir);

/*
 * openat2(2) beneath `rootfd`: no symlink is followed in any component, nothing escapes the root
 * (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS). `path` "" opens the root
 * itself. Returns an fd (O_CLOEXEC) or -errno; -ELOOP means that a symlink is in the way.
 */
int path_open_beneath(int rootfd, const char *path, int flags, mode_t mode);

#endif
