/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/inherit.h"

#include <errno.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "sync/common/buf.h"

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* linux/posix_acl_xattr.h: little endian, a 32-bit version and then the entries. */
struct acl_entry {
    uint16_t tag, perm;
    uint32_t id;
};

enum { ACL_USER_OBJ = 1, ACL_GROUP_OBJ = 4, ACL_MASK = 16, ACL_OTHER = 32 };

/* A malloc'd value; NULL: none, or none can be had. */
static char *get(int fd, const char *name, size_t *len)
{
    for (;;) {
        ssize_t n = fgetxattr(fd, name, NULL, 0);
        char *value;

        if (n < 0)
            return NULL;
        value = xmalloc((size_t)n + 1);
        n = fgetxattr(fd, name, value, (size_t)n);
        if (n >= 0) {
            *len = (size_t)n;
            return value;
        }
        free(value);
        if (errno != ERANGE) /* it has grown meanwhile */
            return NULL;
    }
}

static bool without_support(int code)
{
    return code == EOPNOTSUPP || code == ENOSYS || code == ENODATA;
}

/* `needed`: an ACL that cannot be set again would let others in, or out. */
static int copy(int fd, int from, const char *name, bool needed)
{
    size_t len;
    char *value = get(from, name, &len);
    int r = 0;

    if (!value)
        return 0;
    if (fsetxattr(fd, name, value, len, 0) < 0)
        r = -errno;
    free(value);
    return needed && !without_support(-r) ? r : r == -ENOSPC || r == -EDQUOT ? r : 0;
}

static bool is_ours(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.selinux") == 0 ||
           strcmp(name, "security.SMACK64") == 0;
}

static int copy_all(int fd, int from)
{
    ssize_t n = flistxattr(from, NULL, 0);
    char *names = n > 0 ? xmalloc((size_t)n) : NULL;
    int r = copy(fd, from, ACL_ACCESS, true);

    n = names ? flistxattr(from, names, (size_t)n) : 0;
    for (char *p = names; r == 0 && n > 0 && p < names + n; p += strlen(p) + 1)
        if (is_ours(p))
            r = copy(fd, from, p, false);
    free(names);
    return r;
}

int inherit_file(int fd, int from, int dir)
{
    struct stat st;
    size_t len;
    char *acl;
    int r = 0;

    /* Staging may have a default ACL of its own. */
    if (fremovexattr(fd, ACL_ACCESS) < 0 && !without_support(errno))
        return -errno;
    if (from >= 0 && fstat(from, &st) == 0 && S_ISREG(st.st_mode))
        return copy_all(fd, from);
    acl = get(dir, ACL_DEFAULT, &len);
    if (acl && fsetxattr(fd, ACL_ACCESS, acl, len, 0) < 0 && !without_support(errno))
        r = -errno;
    free(acl);
    return r;
}

mode_t inherit_mode(int dir, mode_t mode, mode_t umask)
{
    mode_t user = 07, group = 07, mask = 07, other = 07, asked = mode | (umask & 0777);
    struct acl_entry e;
    size_t len;
    char *acl = get(dir, ACL_DEFAULT, &len);

    if (!acl)
        return mode;
    for (size_t at = sizeof(uint32_t); at + sizeof(e) <= len; at += sizeof(e)) {
        mode_t perm;

        memcpy(&e, acl + at, sizeof(e));
        perm = le16toh(e.perm) & 07;
        switch (le16toh(e.tag)) {
        case ACL_USER_OBJ:
            user = perm;
            break;
        case ACL_GROUP_OBJ:
            group = perm;
            break;
        case ACL_MASK:
            mask = perm;
            group = 07; /* then the mode's group bits are the mask */
            break;
        case ACL_OTHER:
            other = perm;
            break;
        default:
            break;
        }
    }
    free(acl);
    return (asked & 07000) | (asked & (user << 6 | (group & mask) << 3 | other));
}
