/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/lease.h"

#include <errno.h>
#include <fcntl.h>

#include "sync/master/folder/fstype.h"

enum writers writers_hold(int fd)
{
    if (fstype_is_shared(fd))
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
