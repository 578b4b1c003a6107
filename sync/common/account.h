/* SPDX-License-Identifier: MIT */
/*
 * account: users and groups of this machine, by name or by number (getpwnam(3), getgrnam(3)). Not
 * thread safe: for start-up.
 */
#ifndef EEFS_COMMON_ACCOUNT_H
#define EEFS_COMMON_ACCOUNT_H

#include <sys/types.h>

/*
 * A user and its primary group; a number without an account is its own group. -EINVAL: neither a
 * known name nor a number from 0 to 4294967294.
 */
int account_user(const char *text, uid_t *ret_uid, gid_t *ret_gid);
int account_group(const char *text, gid_t *ret);

/* All that a process needs to run as a user. */
struct account {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* gid among them */
    int n_groups;
};

/* Includes the user's groups. -EINVAL: as account_user(). Release *ret with account_release(). */
int account_open(const char *text, struct account *ret);
void account_release(struct account *a);
/* Makes this process that user for good; async-signal-safe, for a child after fork(2). 0 or
 * -errno. */
int account_become(const struct account *a);

#endif
