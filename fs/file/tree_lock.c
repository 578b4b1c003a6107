/* SPDX-License-Identifier: MIT */
#include "fs/file/tree_lock.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/file/fs.h"
#include "fs/file/turn.h"

void fs_tree_read(struct fs *fs)
{
    int r = pthread_rwlock_tryrdlock(&fs->tree);

    if (r == EBUSY) {
        turn_pass(fs->turn);
        r = pthread_rwlock_rdlock(&fs->tree);
    }
    if (r != 0)
        abort();
}

void fs_tree_write(struct fs *fs)
{
    if (pthread_rwlock_wrlock(&fs->tree) != 0)
        abort();
}

void fs_tree_unlock(struct fs *fs)
{
    if (pthread_rwlock_unlock(&fs->tree) != 0)
        abort();
}
