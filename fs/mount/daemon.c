/* SPDX-License-Identifier: MIT */
#include "fs/mount/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/file.h"
#include "sync/common/log.h"
#include "sync/common/printable.h"

#define EXIT_MOUNT 32 /* mount(8): mount failure */

struct daemon {
    atomic_int fd; /* the parent reads "+" or a sentence; -1 when it is gone */
};

static void wait_for_child(int fd)
{
    struct buf b = BUF_INIT;
    char part[256];
    ssize_t n;

    while ((n = read(fd, part, sizeof(part))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            buf_append(&b, part, (size_t)n);
    if (b.len == 1 && b.data[0] == '+')
        _exit(0);
    printable_line(stderr, "mount.eefs: %s",
                   b.len ? b.data
                         : "the daemon ended before the mount was ready; see the system's log");
    fflush(stderr);
    _exit(EXIT_MOUNT);
}

int daemon_start(struct daemon **ret, struct err *e)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_sys(e, errno, "cannot make a pipe");
    pid = fork();
    if (pid < 0) {
        close(fds[0]);
        close(fds[1]);
        return err_sys(e, errno, "cannot fork");
    }
    if (pid > 0) {
        close(fds[1]);
        wait_for_child(fds[0]);
    }
    close(fds[0]);
    if (chdir("/") < 0)
        log_warn("cannot leave the current folder: %s", strerror(errno));
    log_to_syslog();
    *ret = xcalloc(1, sizeof(**ret));
    (*ret)->fd = fds[1];
    return 0;
}

/* Takes the way back to the parent; -1: it is gone already. */
static int take_way(struct daemon *d)
{
    return d ? atomic_exchange(&d->fd, -1) : -1;
}

void daemon_background(struct daemon *d)
{
    int fd = take_way(d), null;

    if (fd < 0)
        return;
    setsid();
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i < 3; i++)
        dup2(null, i);
    if (null > 2)
        close(null);
    file_write(fd, "+", 1);
    close(fd);
}

void daemon_ready(struct daemon *d)
{
    daemon_background(d);
}

bool daemon_forsaken(struct daemon *d)
{
    struct pollfd p = {.fd = d ? d->fd : -1};

    return p.fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP));
}

void daemon_failed(struct daemon *d, const struct err *e)
{
    int fd = take_way(d);

    if (fd < 0) {
        log_error("%s", e->text);
        return;
    }
    file_write(fd, e->text, strlen(e->text));
    close(fd);
}
