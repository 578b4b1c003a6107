/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/account.h"
#include "sync/common/buf.h"

int owner_find(const char *text, int64_t *ret_uid, int64_t *ret_gid, struct err *e)
{
    const char *colon = text ? strchr(text, ':') : NULL;
    uid_t uid;
    gid_t gid;
    char *user;
    int r = 0;

    *ret_uid = *ret_gid = -1;
    if (!text)
        return 0;
    user = xstrndup(text, colon ? (size_t)(colon - text) : strlen(text));
    if (account_user(user, &uid, &gid) < 0)
        r = err_set(e, EINVAL, "--owner: there is no user '%s'", user);
    else if (colon && account_group(colon + 1, &gid) < 0)
        r = err_set(e, EINVAL, "--owner: there is no group '%s'", colon + 1);
    free(user);
    if (r == 0) {
        *ret_uid = uid;
        *ret_gid = gid;
    }
    return r;
}

int owner_check(const char *text, int64_t uid, int64_t gid, const char *state, struct err *e)
{
    char *path;
    int fd, r = 0;

    if (uid < 0)
        return 0;
    path = xasprintf("%s/owner-XXXXXX", state);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        r = err_sys(e, errno, "cannot create a file in the state folder '%s'", state);
    } else {
        /* The second as for a file that was given away before. */
        if (fchown(fd, (uid_t)uid, (gid_t)gid) < 0 || fchmod(fd, 0600) < 0)
            r = err_set(e, EPERM,
                        "--owner %s: files cannot be given to that owner (%s); serve as that user, "
                        "or give the service the capabilities CAP_CHOWN and CAP_FOWNER (systemd: "
                        "AmbientCapabilities=CAP_LEASE CAP_CHOWN CAP_FOWNER)",
                        text, strerror(errno));
        unlink(path);
        close(fd);
    }
    free(path);
    return r;
}
