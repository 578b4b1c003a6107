/* SPDX-License-Identifier: MIT */
#include "sync/common/account.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>

/* (uid_t)-1 and (gid_t)-1 mean "none" to the kernel. */
static int parse_id(const char *text, id_t *ret)
{
    unsigned long long n;
    char *end;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || *end || n >= UINT32_MAX)
        return -EINVAL;
    *ret = (id_t)n;
    return 0;
}

int account_user(const char *text, uid_t *ret_uid, gid_t *ret_gid)
{
    const struct passwd *pw = getpwnam(text);
    id_t id;

    if (!pw) {
        if (parse_id(text, &id) < 0)
            return -EINVAL;
        pw = getpwuid(id);
        *ret_uid = id;
        *ret_gid = pw ? pw->pw_gid : id;
        return 0;
    }
    *ret_uid = pw->pw_uid;
    *ret_gid = pw->pw_gid;
    return 0;
}

int account_group(const char *text, gid_t *ret)
{
    const struct group *gr = getgrnam(text);
    id_t id;

    if (!gr && parse_id(text, &id) < 0)
        return -EINVAL;
    *ret = gr ? gr->gr_gid : id;
    return 0;
}
