/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/root.h"
#include "sync/master/folder/space.h"

#include <stdio.h>
#include <sys/statvfs.h>

static bool is_short(const struct statvfs *fs, int64_t bytes, int64_t reserve, const char *what,
                     const char *path, char *why, size_t cap)
{
    int64_t left = (int64_t)fs->f_bavail * (int64_t)fs->f_frsize;

    if (left - bytes >= reserve)
        return false;
    if (why)
        snprintf(
            why, cap,
            "the disk of the %s '%.200s' is nearly full: %lld MiB left, %lld are kept in reserve",
            what, path, (long long)(left >> 20), (long long)(reserve >> 20));
    return true;
}

bool space_short(const struct folder *f, int64_t bytes, char *why, size_t cap)
{
    struct statvfs fs;
    int64_t reserve = f->reserve;

    if (root_staging_fd(f->root) >= 0 && fstatvfs(root_staging_fd(f->root), &fs) == 0 &&
        root_ok(f->root, (char[1]){0}, 1) &&
        is_short(&fs, bytes, reserve, "folder", root_path(f->root), why, cap))
        return true;
    /* An operation is a few rows in the database. */
    return statvfs(f->db_path, &fs) == 0 &&
           is_short(&fs, 0, reserve / 4, "database", f->db_path, why, cap);
}
