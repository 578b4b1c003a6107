/* SPDX-License-Identifier: MIT */
/*
 * attr: converts the replica's attributes to struct stat. Owners and modes are this mount's choice
 * (uid, gid, umask), and only its user may enter a private subtree. Read-only after start, so
 * thread safe.
 */
#ifndef EEFS_FS_FILE_ATTR_H
#define EEFS_FS_FILE_ATTR_H

#include <sys/stat.h>

#include "sync/common/err.h"
#include "sync/common/opt.h"
#include "sync/mirror/replica/replica.h"

struct attr_private { /* everything at and under path: owned by uid, no bits for group and others */
    char *path;
    uid_t uid;
    gid_t gid;
};

struct attr_rules {
    uid_t uid;
    gid_t gid;
    mode_t umask;
    struct attr_private *private;
    size_t n_private;
};

/*
 * Adds rules from a list of "PATH:USER" (user by name or number). "none" or "" adds nothing.
 * -EINVAL with a sentence.
 */
int attr_rules_private(struct attr_rules *r, const struct strlist *list, struct err *e);
/*
 * Sets the owner of everything. user, group: names or numbers; NULL: the user that mounts, and the
 * primary group of `user`. -EINVAL with a sentence.
 */
int attr_rules_owner(struct attr_rules *r, const char *user, const char *group, struct err *e);
void attr_rules_release(struct attr_rules *r);

/*
 * `path` is the tree path of the entry; NULL when it has none any more (nlink is 0 then). With
 * `writable` false the modes have no write bits, so that programs that check before they write stop
 * early.
 */
void attr_stat(const struct attr_rules *r, const char *path, const struct node_attr *a,
               bool writable, struct stat *ret);

/*
 * The mode to set when a program that saw this mount's modes asks for `want` on an entry with mode
 * `now`: bits that umask or private hide keep their value on the master.
 */
mode_t attr_mode(const struct attr_rules *r, const char *path, mode_t want, mode_t now);

#endif
