/* SPDX-License-Identifier: MIT */
#include "sync/master/writers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <sys/vfs.h>

/* Filesystems that other machines (or a daemon) write to, too. */
static bool is_shared(int fd)
{
    static const unsigned long magics[] = {
        NFS_SUPER_MAGIC,   SMB_SUPER_MAGIC, SMB2_SUPER_MAGIC, CIFS_SUPER_MAGIC,
        CEPH_SUPER_MAGIC,  V9FS_MAGIC,      AFS_SUPER_MAGIC,  CODA_SUPER_MAGIC,
        OCFS2_SUPER_MAGIC, 0x65735546, /* fuse, fs/fuse/inode.c */
        0x01161970,                    /* gfs2, include/uapi/linux/gfs2_ondisk.h */
        0x0bd00bd0,                    /* lustre */
    };
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return true;
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
        if ((unsigned long)fs.f_type == magics[i])
            return true;
    return false;
}

enum writers writers_hold(int fd)
{
    if (is_shared(fd))
        return WRITERS_UNKNOWN;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        return WRITERS_NONE;
    return errno == EAGAIN ? WRITERS_SOME : WRITERS_UNKNOWN;
}

bool writers_came(int fd)
{
    return fcntl(fd, F_GETLEASE) != F_RDLCK;
}

enum writers writers_of(int fd)
{
    enum writers who = writers_hold(fd);

    if (who == WRITERS_NONE)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    return who;
}
