/* SPDX-License-Identifier: MIT */
#include "sync/common/account.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/common/buf.h"

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

int account_open(const char *text, struct account *ret)
{
    struct account a = {.n_groups = 64};
    struct passwd *pw;
    int r = account_user(text, &a.uid, &a.gid);

    if (r < 0)
        return r;
    pw = getpwuid(a.uid);
    a.groups = xcalloc((size_t)a.n_groups, sizeof(*a.groups));
    if (!pw) {
        a.groups[0] = a.gid;
        a.n_groups = 1;
    } else if (getgrouplist(pw->pw_name, a.gid, a.groups, &a.n_groups) < 0) {
        a.groups = xrealloc(a.groups, (size_t)a.n_groups * sizeof(*a.groups));
        if (getgrouplist(pw->pw_name, a.gid, a.groups, &a.n_groups) < 0)
            a.n_groups = 1;
    }
    *ret = a;
    return 0;
}

void account_release(struct account *a)
{
    free(a->groups);
    *a = (struct account){0};
}

/* By system calls: the C library's functions look for other threads, under locks. */
int account_become(const struct account *a)
{
    if (geteuid() != 0 && geteuid() == a->uid)
        return 0;
    if (syscall(SYS_setgroups, a->n_groups, a->groups) < 0 || syscall(SYS_setgid, a->gid) < 0 ||
        syscall(SYS_setuid, a->uid) < 0)
        return -errno;
    return 0;
}
