/* SPDX-License-Identifier: MIT */
#include "sync/mirror/store/reserve.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sync/common/buf.h"

#define RESERVE ((int64_t)1 << 20)
#define PLENTY  4 /* times RESERVE */

void reserve_keep(const char *cache)
{
    char *path = xasprintf("%s/reserve", cache);
    struct statvfs v;
    struct stat st;
    int fd;

    if ((stat(path, &st) < 0 || st.st_size < RESERVE) && statvfs(cache, &v) == 0 &&
        (int64_t)v.f_bavail * (int64_t)v.f_frsize > PLENTY * RESERVE) {
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && posix_fallocate(fd, 0, RESERVE) != 0)
            unlink(path);
        if (fd >= 0)
            close(fd);
    }
    free(path);
}

bool reserve_release(const char *cache)
{
    char *path = xasprintf("%s/reserve", cache);
    bool was = unlink(path) == 0;

    free(path);
    return was;
}
