/* SPDX-License-Identifier: MIT */
/*
 * mounts: the kernel's table of mounts, read without touching any mount, because a hung mount would
 * hang the reader. Format: proc(5), /proc/PID/mountinfo.
 */
#ifndef EEFS_COMMON_MOUNTS_H
#define EEFS_COMMON_MOUNTS_H

#define MOUNTS_EEFS "fuse.eefs" /* the type of ours */

struct mounts_entry {
    const char *point;
    const char *type;    /* as "ext4" or "fuse.eefs" */
    const char *flags;   /* of this mount, separated by commas */
    const char *options; /* of the superblock, separated by commas */
    unsigned minor;      /* of its device number; the major one is 0 where it matters */
};

typedef void mounts_fn(void *arg, const struct mounts_entry *m);

/*
 * Calls fn for every mount in this process's namespace, in the kernel's order: of several on one
 * point the last lies on top. The entry's strings are valid only until fn returns. 0 or -errno.
 */
int mounts_each(mounts_fn *fn, void *arg);

/* The same from a table's text, which is overwritten; a line of another form is left out. */
void mounts_parse(char *text, mounts_fn *fn, void *arg);

#endif
