/* SPDX-License-Identifier: MIT */
#include "sqlimport/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/common/clock.h"

#define MERCY_MS 3000 /* between SIGTERM and SIGKILL */
#define STEP_MS  200  /* how often `stop` is looked at */

/* True when the child has ended. */
static bool ended(pid_t pid, int64_t timeout_ms, const volatile int *stop, int *status)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    pid_t r;

    for (;;) {
        int64_t left = until - clock_mono_ms();

        r = waitpid(pid, status, WNOHANG);
        if (r != 0 || left <= 0 || (stop && *stop))
            break;
        left = left < STEP_MS ? left : STEP_MS;
        (void)poll(&p, p.fd >= 0, (int)(p.fd >= 0 ? left : 20));
    }
    if (p.fd >= 0)
        close(p.fd);
    return r != 0;
}

int child_wait(pid_t pid, int64_t timeout_ms, bool group, const volatile int *stop, int *status)
{
    pid_t target = group ? -pid : pid;

    if (ended(pid, timeout_ms, stop, status))
        return 0;
    kill(target, SIGTERM);
    if (!ended(pid, MERCY_MS, NULL, status)) {
        kill(target, SIGKILL);
        while (waitpid(pid, status, 0) < 0 && errno == EINTR)
            ;
    }
    return stop && *stop ? -EINTR : -ETIMEDOUT;
}
