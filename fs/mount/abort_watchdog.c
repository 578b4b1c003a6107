/* SPDX-License-Identifier: MIT */
#include "fs/mount/abort_watchdog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fs/mount/mountpoint.h"
#include "sync/common/buf.h"
#include "sync/common/log.h"

#define PATIENCE_MS 1000 /* for a killed process's threads to end */
#define STEP_MS     20

/* The process still has a thread beside its (dead) first one. */
static bool has_threads(pid_t pid)
{
    char *path = xasprintf("/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    struct dirent *de;
    bool found = false;

    free(path);
    while (d && !found && (de = readdir(d)))
        found = de->d_name[0] != '.' && atoi(de->d_name) != (int)pid;
    if (d)
        closedir(d);
    return found;
}

/* fusectl(5); it may not be mounted. */
static int open_abort(unsigned dev)
{
    char *path = xasprintf("/sys/fs/fuse/connections/%u/abort", dev);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    free(path);
    return fd;
}

static void write_abort(int fd, const char *point)
{
    if (write(fd, "1", 1) < 0)
        log_error("cannot abort the mount on '%s': %s; try: umount -f %s", point, strerror(errno),
                  point);
}

/* Ends all requests that wait for the daemon; with fusectl the mount stays and answers with
 * errors. */
static void guard_abort(const char *point)
{
    unsigned dev = 0;
    int fd;

    if (!mountpoint_device(point, &dev))
        return;
    fd = open_abort(dev);
    if (fd >= 0) {
        write_abort(fd, point);
        close(fd);
    } else if (umount2(point, MNT_FORCE) < 0 && errno != EBUSY) {
        log_error("cannot abort the mount on '%s': %s; try: umount -f %s", point, strerror(errno),
                  point);
    }
}

void abort_watchdog_end(const char *point)
{
    unsigned dev = 0;
    int fd, r;

    if (!mountpoint_device(point, &dev))
        return;
    fd = open_abort(dev);
    /* Without fusectl MNT_FORCE aborts, also where it then says EBUSY. What lies below, say an
     * automount, must stay: one success is enough. */
    r = fd < 0 ? umount2(point, MNT_FORCE | UMOUNT_NOFOLLOW) : -1;
    if (r < 0)
        r = umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (r == 0 && fd >= 0)
        write_abort(fd, point);
    if (fd >= 0)
        close(fd);
}

static void watch(pid_t daemon, const char *point)
{
    sigset_t set;
    int sig, waited = 0;

    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    prctl(PR_SET_NAME, "eefs-guard");
    if (prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0 && getppid() == daemon)
        sigwait(&set, &sig);
    while (has_threads(daemon)) {
        if (waited >= PATIENCE_MS) {
            log_warn("the daemon of '%s' was killed and cannot end; its mount is aborted", point);
            guard_abort(point);
            break;
        }
        usleep(STEP_MS * 1000);
        waited += STEP_MS;
    }
}

static void let_go_of_everything(void)
{
    int null = open("/dev/null", O_RDWR);

    for (int i = 0; null >= 0 && i < 3; i++)
        dup2(null, i);
    close_range(3, ~0U, 0);
    setsid();
    if (chdir("/") < 0)
        return;
}

int abort_watchdog_start(const char *point, struct err *e)
{
    pid_t daemon = getpid(), pid = fork();

    if (pid < 0)
        return err_sys(e, errno, "cannot fork");
    if (pid == 0) {
        let_go_of_everything();
        watch(daemon, point);
        _exit(0);
    }
    return 0;
}
