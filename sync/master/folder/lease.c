/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/lease.h"

#include <errno.h>
#include <fcntl.h>

#include "sync/master/folder/fstype.h"

enum writers lease_take(int fd)
{
    if (fstype_is_shared(fd))
        return WRITERS_UNKNOWN;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        return WRITERS_NONE;
    return errno == EAGAIN ? WRITERS_SOME : WRITERS_UNKNOWN;
}

bool lease_broken(int fd)
{
    return fcntl(fd, F_GETLEASE) != F_RDLCK;
}

enum writers lease_probe(int fd)
{
    enum writers who = lease_take(fd);

    if (who == WRITERS_NONE)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    return who;
}
