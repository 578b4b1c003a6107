/* SPDX-License-Identifier: MIT */
/*
 * inherit: the metadata of a file beside its mode: the access ACL, user.* attributes and the
 * security label. A file that mirrors put in the place of another takes over that one's; a new file
 * or folder gets what its folder's default ACL says (acl(5), "OBJECT CREATION AND DEFAULT ACLs").
 * Filesystems without these things are fine.
 */
#ifndef EEFS_MASTER_FOLDER_INHERIT_H
#define EEFS_MASTER_FOLDER_INHERIT_H

#include <sys/stat.h>
#include <sys/types.h>

/* To the file `fd`, before its mode and owner are set. `from`: the one that it replaces, or that it
 * is a copy of; -1 or no file: none, it is new in the folder `dir`. 0 or -errno. */
int inherit_file(int fd, int from, int dir);

/* The mode for what is new in the folder `dir`: as its default ACL has it for a program that asked
 * for mode | umask; without one `mode`. */
mode_t inherit_mode(int dir, mode_t mode, mode_t umask);

#endif
