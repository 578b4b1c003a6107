/* SPDX-License-Identifier: MIT */
#include "sqlimport/server/disk_space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define MB 1000000

void disk_space_init(struct disk_space *ret, struct server *s)
{
    ret->datadir = NULL;
    if (strstr(mysql_get_host_info(s->my), "UNIX socket"))
        (void)server_value(s, &ret->datadir, NULL, "SELECT @@datadir");
}

void disk_space_release(struct disk_space *r)
{
    free(r->datadir);
    r->datadir = NULL;
}

int disk_space_check(const struct disk_space *r, uint64_t bytes, struct err *e)
{
    struct statvfs v;
    uint64_t left;

    if (!r->datadir || statvfs(r->datadir, &v) < 0)
        return 0;
    left = (uint64_t)v.f_bavail * v.f_frsize;
    if (left >= bytes + ROOM_RESERVE)
        return 0;
    return err_set(e, ENOSPC,
                   "the database server's disk has %llu MB free at '%s', too little for an import "
                   "of %llu MB that leaves %llu MB free: free space there",
                   (unsigned long long)left / MB, r->datadir,
                   (unsigned long long)(bytes + MB - 1) / MB,
                   (unsigned long long)(ROOM_RESERVE / MB));
}
