/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/fstype.h"

#include <linux/magic.h>
#include <stddef.h>
#include <sys/vfs.h>

enum { SHARED = 1, INODES_MADE_UP = 2 };

static const struct {
    unsigned long magic;
    int lacks;
} kinds[] = {
    {NFS_SUPER_MAGIC, SHARED},
    {SMB_SUPER_MAGIC, SHARED | INODES_MADE_UP},
    {SMB2_SUPER_MAGIC, SHARED | INODES_MADE_UP},
    {CIFS_SUPER_MAGIC, SHARED | INODES_MADE_UP},
    {CEPH_SUPER_MAGIC, SHARED},
    {V9FS_MAGIC, SHARED},
    {AFS_SUPER_MAGIC, SHARED},
    {CODA_SUPER_MAGIC, SHARED},
    {OCFS2_SUPER_MAGIC, SHARED},
    {0x65735546, SHARED | INODES_MADE_UP}, /* fuse, fs/fuse/inode.c */
    {0x01161970, SHARED},                  /* gfs2, include/uapi/linux/gfs2_ondisk.h */
    {0x0bd00bd0, SHARED},                  /* lustre */
    {MSDOS_SUPER_MAGIC, INODES_MADE_UP},
    {EXFAT_SUPER_MAGIC, INODES_MADE_UP},
    {OVERLAYFS_SUPER_MAGIC, INODES_MADE_UP},
};

static bool lacks(int fd, int what)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return true;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if ((unsigned long)fs.f_type == kinds[i].magic)
            return kinds[i].lacks & what;
    return false;
}

bool fstype_is_shared(int fd)
{
    return lacks(fd, SHARED);
}

bool fstype_keeps_inodes(int fd)
{
    return !lacks(fd, INODES_MADE_UP);
}
