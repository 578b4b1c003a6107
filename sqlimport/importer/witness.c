/* SPDX-License-Identifier: MIT */
/*
 * Each write gives a file a new change time (st_ctim), which nobody can set back; but it is that of
 * the kernel's last tick, so a later write within the same tick does not show; and of a page that a
 * writer has mapped and written, only the first write shows. A witness therefore speaks only
 *
 *   - on filesystems of this machine, which keep that time themselves (on a mount of another
 *     machine or by FUSE it may be an older one that was cached);
 *   - if nobody has the file open for writing while it is looked at, which a read lease proves (a
 *     mapping keeps its file open);
 *   - and if its change time lies before the tick of that look: what is written afterwards has a
 *     later one.
 */
#include "sqlimport/importer/witness.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <sys/vfs.h>
#include <time.h>

#include "sync/common/file.h"

#define XFS_MAGIC 0x58465342UL /* include/uapi/linux/magic.h since Linux 6.5 */

static bool keeps_times(int fd)
{
    static const unsigned long local[] = {EXT4_SUPER_MAGIC, XFS_MAGIC, BTRFS_SUPER_MAGIC,
                                          F2FS_SUPER_MAGIC, TMPFS_MAGIC};
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++)
        if ((unsigned long)fs.f_type == local[i])
            return true;
    return false;
}

/* Inodes of 128 bytes (old ext) have whole seconds. */
static bool lies_before(const struct timespec *changed, const struct timespec *tick)
{
    return changed->tv_sec < tick->tv_sec ||
           (changed->tv_sec == tick->tv_sec && changed->tv_nsec != 0 &&
            changed->tv_nsec < tick->tv_nsec);
}

void witness_take(struct witness *w, int fd)
{
    struct timespec tick;

    w->speaks = false;
    if (!keeps_times(fd) || fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        return;
    w->speaks = clock_gettime(CLOCK_REALTIME_COARSE, &tick) == 0 && fstat(fd, &w->st) == 0 &&
                lies_before(&w->st.st_ctim, &tick);
    fcntl(fd, F_SETLEASE, F_UNLCK);
}

bool witness_holds_renamed(const struct witness *w, const struct stat *now)
{
    return w->speaks && now->st_ino == w->st.st_ino && now->st_dev == w->st.st_dev &&
           now->st_size == w->st.st_size && file_mtime_ns(now) == file_mtime_ns(&w->st);
}

bool witness_holds(const struct witness *w, int fd)
{
    struct stat now;

    return w->speaks && fstat(fd, &now) == 0 && witness_holds_renamed(w, &now) &&
           file_ctime_ns(&now) == file_ctime_ns(&w->st);
}
