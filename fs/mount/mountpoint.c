/* SPDX-License-Identifier: MIT */
/*
 * mountpoint: the mount table first; then, in a child with a time limit, whether what lies there
 * answers; a dead mount of ours is cleared away.
 */
#include "fs/mount/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/mounts.h"

#define PROBE_MS     5000  /* a mount that does not answer for so long is no dead one */
#define AUTOMOUNT_MS 90000 /* as long as systemd gives a mount by default */

struct mounted {
    char *type;    /* NULL: nothing is mounted there */
    char *options; /* of the superblock */
    unsigned minor;
};

struct search {
    const char *path;
    struct mounted *found;
};

static void mounted_release(struct mounted *m)
{
    free(m->type);
    free(m->options);
    *m = (struct mounted){NULL, NULL, 0};
}

static bool is_type(const struct mounted *m, const char *type)
{
    return m->type && strcmp(m->type, type) == 0;
}

static void note(void *arg, const struct mounts_entry *m)
{
    struct search *s = arg;

    if (strcmp(m->point, s->path) != 0)
        return;
    mounted_release(s->found); /* the later one lies on top */
    *s->found = (struct mounted){xstrdup(m->type), xstrdup(m->options), m->minor};
}

/* The topmost mount on `path`. */
static int look(const char *path, struct mounted *ret, struct err *e)
{
    struct search s = {path, ret};
    int r;

    mounted_release(ret);
    r = mounts_each(note, &s);
    return r < 0 ? err_sys(e, -r, "cannot read /proc/self/mountinfo") : 0;
}

bool mountpoint_device(const char *path, unsigned *ret)
{
    struct mounted m = {NULL, NULL, 0};
    struct err e = {0};
    bool found = look(path, &m, &e) == 0 && is_type(&m, MOUNTS_EEFS);

    *ret = m.minor;
    mounted_release(&m);
    return found;
}

/*
 * An automount lets only the process group pass that it starts mounts in (option pgrp, autofs(5));
 * all others wait there until something is mounted.
 */
static bool waits_for_us(const struct mounted *autofs)
{
    const char *pgrp = strstr(autofs->options, "pgrp=");

    return pgrp && atoll(pgrp + strlen("pgrp=")) == getpgrp();
}

/* statvfs(3), which no cache answers, by a child, for it may hang. 0, -errno, -ETIMEDOUT. */
static int probe(const char *path, int timeout_ms)
{
    int fds[2], code = 0;
    struct pollfd p;
    struct statvfs st;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0) {
        code = statvfs(path, &st) < 0 ? errno : 0;
        _exit(write(fds[1], &code, sizeof(code)) != sizeof(code));
    }
    close(fds[1]);
    p = (struct pollfd){fds[0], POLLIN, 0};
    if (pid < 0)
        code = EAGAIN;
    else if (poll(&p, 1, timeout_ms) <= 0 || read(fds[0], &code, sizeof(code)) != sizeof(code))
        code = ETIMEDOUT;
    close(fds[0]);
    if (code == ETIMEDOUT)
        kill(pid, SIGKILL); /* one that hangs for good is left to init */
    else if (pid > 0)
        waitpid(pid, NULL, 0);
    return -code;
}

/* A mount of ours lies there: cleared when its daemon is dead, else refused. */
static int clear_dead(const char *path, bool fake, struct err *e)
{
    int r = probe(path, PROBE_MS);

    if (r != -ENOTCONN)
        return err_set(e, EBUSY, "eefs is already mounted on '%s'%s", path,
                       r == -ETIMEDOUT ? " (and does not answer)" : "");
    if (fake)
        return 0;
    if (umount2(path, MNT_DETACH) < 0)
        return err_sys(e, errno, "cannot clear the dead eefs mount on '%s'; try umount -l '%s'",
                       path, path);
    return 1;
}

static int check_empty(const char *path, struct err *e)
{
    DIR *d = opendir(path);
    const struct dirent *entry;
    int r = 0;

    if (!d) /* mode 0000 and not root: then nobody else looks into it either */
        return errno == EACCES ? 0 : err_sys(e, errno, "cannot read mountpoint '%s'", path);
    while (r == 0 && (entry = readdir(d)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = err_set(e, ENOTEMPTY,
                        "mountpoint '%s' is not empty: the mount would hide what is in it", path);
    closedir(d);
    return r;
}

static int check_bare(const char *path, char **warning, struct err *e)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return err_sys(e, errno, "cannot use mountpoint '%s'", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "mountpoint '%s' is not a folder", path);
    if ((st.st_mode & 07777) != 0)
        *warning =
            xasprintf("warning: the bare mountpoint '%s' has mode %04o: without the mount it "
                      "would look like an empty folder; umount and chmod 0000 it",
                      path, (unsigned)(st.st_mode & 07777));
    return check_empty(path, e);
}

/* Absolute, with only the parent resolved: the folder itself must not be touched yet. */
static int absolute(const char *dir, char **ret, struct err *e)
{
    char *copy = xstrdup(dir), *slash, *parent, *real;
    size_t len = strlen(copy);

    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    slash = strrchr(copy, '/');
    parent = slash ? xstrndup(copy, slash > copy ? (size_t)(slash - copy) : 1) : xstrdup(".");
    real = realpath(parent, NULL);
    if (!real) {
        err_sys(e, errno, "cannot use mountpoint '%s'", dir);
        free(copy);
        free(parent);
        return -ENOENT;
    }
    *ret = xasprintf("%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : copy);
    free(real);
    free(parent);
    free(copy);
    return 0;
}

/* A manual mount where an automount is: lets the automount do it. 1: it has. */
static int by_automount(const char *path, struct err *e)
{
    struct mounted m = {NULL, NULL, 0};
    int r = probe(path, AUTOMOUNT_MS);

    if (r == 0)
        r = look(path, &m, e);
    else
        r = err_sys(e, -r, "the automount on '%s' cannot mount it; see its unit's log", path);
    if (r == 0)
        r = is_type(&m, MOUNTS_EEFS)
                ? 1
                : err_set(e, EBUSY, "the automount on '%s' mounted something else", path);
    mounted_release(&m);
    return r;
}

int mountpoint_check(const char *dir, bool fake, char **ret, char **warning, struct err *e)
{
    struct mounted m = {NULL, NULL, 0};
    char *path = NULL;
    int r = absolute(dir, &path, e);

    *warning = NULL;
    do {
        if (r >= 0)
            r = look(path, &m, e);
        if (r == 0 && is_type(&m, MOUNTS_EEFS))
            r = clear_dead(path, fake, e);
    } while (r == 1);
    if (r == 0 && is_type(&m, "autofs")) /* not to be touched: that would wait for ourselves */
        r = fake || waits_for_us(&m) ? 0 : by_automount(path, e);
    else if (r == 0 && !is_type(&m, MOUNTS_EEFS))
        r = check_bare(path, warning, e);
    mounted_release(&m);
    if (r < 0) {
        free(path);
        free(*warning);
        *warning = NULL;
        return r;
    }
    *ret = path;
    return r;
}
