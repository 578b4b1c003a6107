/* SPDX-License-Identifier: MIT */
#include "sqlimport/slot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/crash.h"
#include "sync/common/ctl.h"
#include "sync/common/file.h"
#include "sync/common/mounts.h"
#include "sync/common/path.h"
#include "sync/common/rundir.h"

#define CTL_TIMEOUT_MS    3000
#define REMOVE_TIMEOUT_MS 30000
#define STRANGER_AGE_S    60

struct slot {
    char *dir, *file, *rundir;
    char *aside;       /* name under which a plain folder's dump is looked at before it goes */
    struct ctl *watch; /* change stream of the mount, or NULL */
    int inotify;       /* tells what this machine does in the folder; -1: nothing is watched */
    dev_t dev;         /* the folder that is watched */
    ino_t ino;
};

struct slot *slot_new(const char *dir, const char *file, const char *rundir)
{
    struct slot *s = xcalloc(1, sizeof(*s));

    s->dir = xstrdup(dir);
    s->file = xstrdup(file);
    s->rundir = xstrdup(rundir);
    s->aside = xasprintf(".eefs-sqlimport.%s.removing", file);
    s->inotify = -1;
    return s;
}

static void end_watch(struct slot *s)
{
    ctl_close(s->watch);
    s->watch = NULL;
    if (s->inotify >= 0)
        close(s->inotify);
    s->inotify = -1;
}

void slot_free(struct slot *s)
{
    if (!s)
        return;
    end_watch(s);
    free(s->dir);
    free(s->file);
    free(s->rundir);
    free(s->aside);
    free(s);
}

/* Gives the file its name back unless a newer one has it: then the newer one counts. On a failure
 * it stays where it is, and slot_find() tries again. */
static int put_back(int dir, const char *aside, const char *name)
{
    int r = file_rename_new(dir, aside, dir, name);

    if (r == -EEXIST)
        r = unlinkat(dir, aside, 0) < 0 ? -errno : 0;
    return r;
}

int slot_find(struct slot *s, int *ret_fd, struct stat *st, struct err *e)
{
    int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, code;

    if (dir < 0)
        return err_sys(e, errno, "cannot open the slot '%s'", s->dir);
    if (faccessat(dir, s->aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        (void)put_back(dir, s->aside, s->file); /* of a run that was killed */
    fd = openat(dir, s->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    code = fd < 0 ? errno : fstat(fd, st) < 0 ? errno : S_ISREG(st->st_mode) ? 0 : EINVAL;
    close(dir);
    if (code == 0) {
        *ret_fd = fd;
        return 1;
    }
    if (fd >= 0)
        close(fd);
    return code == ENOENT ? 0
                          : err_set(e, code, "cannot open the dump '%s/%s': %s", s->dir, s->file,
                                    code == EINVAL ? "it is no regular file" : strerror(code));
}

bool slot_stranger(const struct slot *s, char *ret, size_t cap)
{
    DIR *d = opendir(s->dir);
    int64_t young = clock_wall_ns() / 1000000000 - STRANGER_AGE_S;
    bool found = false;
    struct dirent *de;
    struct stat st;

    while (d && !found && (de = readdir(d))) {
        size_t n = strlen(de->d_name);
        if (*de->d_name == '.' || n < 5 || strcmp(de->d_name + n - 4, ".sql") != 0 ||
            strcmp(de->d_name, s->file) == 0 ||
            fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            st.st_mtim.tv_sec > young)
            continue;
        snprintf(ret, cap, "%s", de->d_name);
        found = true;
    }
    if (d)
        closedir(d);
    return found;
}

/* Path of `path` below the folder `top`, or NULL. */
static const char *below(const char *path, const char *top)
{
    size_t n = strlen(top);

    while (n > 0 && top[n - 1] == '/')
        n--;
    if (strncmp(path, top, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    return path[n] ? path + n + 1 : "";
}

struct innermost {
    const char *real;
    char *point;
    bool ours;
};

static void note(void *arg, const struct mounts_entry *m)
{
    struct innermost *in = arg;

    if (!below(in->real, m->point) || (in->point && strlen(m->point) < strlen(in->point)))
        return;
    free(in->point);
    in->point = xstrdup(m->point);
    in->ours = strcmp(m->type, MOUNTS_EEFS) == 0;
}

/* Mountpoint (malloc'd) of the innermost mount that holds `real`, if that is an eefs one. */
static char *eefs_mountpoint(const char *real)
{
    struct innermost in = {real, NULL, false};

    (void)mounts_each(note, &in);
    if (!in.ours) {
        free(in.point);
        in.point = NULL;
    }
    return in.point;
}

struct instance {
    const char *point;
    char *socket;
};

static void ask_instance(void *arg, const char *path)
{
    struct instance *in = arg;
    json_t *request = json_pack("{s:s}", "cmd", "status"), *answer = NULL;
    const char *point;

    if (!in->socket && ctl_call(path, request, CTL_TIMEOUT_MS, &answer, NULL) == 0) {
        point = json_string_value(json_object_get(answer, "mountpoint"));
        if (point && strcmp(point, in->point) == 0)
            in->socket = xstrdup(path);
    }
    json_decref(answer);
    json_decref(request);
}

/* Socket (malloc'd) of the instance at `mountpoint`, or NULL. */
static char *instance_socket(const struct slot *s, const char *mountpoint)
{
    struct instance in = {mountpoint, NULL};

    rundir_each(s->rundir, "mount", "sock", ask_instance, &in);
    return in.socket;
}

/* 1: on a mount, *ret_socket and *ret_path (tree path of the slot) are malloc'd; 0: plain folder.
 */
static int locate(const struct slot *s, char **ret_socket, char **ret_path, struct err *e)
{
    char *real = realpath(s->dir, NULL), *point = NULL, *sock = NULL;
    int r = 0;

    if (!real)
        return err_sys(e, errno, "cannot find the slot '%s'", s->dir);
    point = eefs_mountpoint(real);
    if (point) {
        sock = instance_socket(s, point);
        if (sock) {
            *ret_path = xstrdup(below(real, point));
            *ret_socket = sock;
            r = 1;
        } else {
            r = err_set(e, ENOTCONN,
                        "the mount at '%s' does not answer on its control socket in "
                        "'%s'; see --rundir",
                        point, s->rundir);
        }
    }
    free(point);
    free(real);
    return r;
}

static int remove_on_mount(const struct slot *s, const char *sock, const char *dir,
                           const struct hash *hash, struct err *e)
{
    char *path = path_join(dir, s->file), *encoded = path_encoded(path);
    char text[HASH_TEXT_CAP];
    json_t *request = json_pack("{s:s, s:s, s:s}", "cmd", "remove", "path", encoded, "hash",
                                hash_text(hash, text));
    json_t *answer = NULL;
    int r = request ? ctl_call(sock, request, REMOVE_TIMEOUT_MS, &answer, e)
                    : err_set(e, EINVAL, "cannot name the dump");
    const char *code = json_string_value(json_object_get(answer, "code"));

    /* gone, or other content under that name: another dump came meanwhile */
    if (r == -EREMOTEIO && code && strcmp(code, "changed") == 0)
        r = -ESTALE;
    json_decref(answer);
    json_decref(request);
    free(encoded);
    free(path);
    return r;
}

/* The file that was caught is the one that was imported, with the same bytes still. */
static bool is_imported(int dir, const char *caught, int fd, const struct hash *hash)
{
    struct stat mine, there;
    struct hash now;

    return fstat(fd, &mine) == 0 && fstatat(dir, caught, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           there.st_ino == mine.st_ino && there.st_dev == mine.st_dev &&
           hash_fd(fd, &now, NULL) == 0 && hash_eq(&now, hash);
}

/* Rename aside, look at what was caught, unlink or put it back without replacing a newer one. */
static int remove_plain(const struct slot *s, int fd, const struct hash *hash, struct err *e)
{
    int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

    if (dir < 0 || renameat(dir, s->file, dir, s->aside) < 0)
        r = -errno;
    crash_point("slot.aside");
    if (r == 0 && is_imported(dir, s->aside, fd, hash))
        r = unlinkat(dir, s->aside, 0) < 0 ? -errno : 0;
    else if (r == 0)
        r = put_back(dir, s->aside, s->file) < 0 ? -errno : -ESTALE;
    if (dir >= 0)
        close(dir);
    if (r == -ENOENT)
        r = -ESTALE;
    return r == 0 || r == -ESTALE
               ? r
               : err_sys(e, -r, "cannot remove the dump '%s/%s'", s->dir, s->file);
}

int slot_remove(struct slot *s, int fd, const struct hash *hash, struct err *e)
{
    char *sock = NULL, *dir = NULL;
    int r = locate(s, &sock, &dir, e);

    if (r == 1)
        r = remove_on_mount(s, sock, dir, hash, e);
    else if (r == 0)
        r = remove_plain(s, fd, hash, e);
    free(sock);
    free(dir);
    return r;
}

static void watch_mount(struct slot *s, const char *sock, const char *dir)
{
    char *encoded = path_encoded(dir);
    json_t *request = json_pack("{s:s, s:s}", "cmd", "watch", "path", encoded), *answer = NULL;

    if (ctl_connect(sock, CTL_TIMEOUT_MS, &s->watch, NULL) == 0 &&
        (ctl_send(s->watch, request, CTL_TIMEOUT_MS, NULL) < 0 ||
         ctl_recv(s->watch, CTL_TIMEOUT_MS, &answer, NULL) < 0 ||
         !json_is_true(json_object_get(answer, "ok")))) {
        ctl_close(s->watch);
        s->watch = NULL;
    }
    json_decref(answer);
    json_decref(request);
    free(encoded);
}

static void begin_watch(struct slot *s)
{
    char *sock = NULL, *dir = NULL;
    struct stat st;
    int r = locate(s, &sock, &dir, NULL);

    if (r >= 0)
        s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (s->inotify >= 0 &&
        inotify_add_watch(s->inotify, s->dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0)
        end_watch(s);
    if (s->inotify >= 0 && r == 1) { /* others' changes come by the stream, or by looking again */
        watch_mount(s, sock, dir);
        if (!s->watch)
            end_watch(s);
    }
    if (stat(s->dir, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    free(sock);
    free(dir);
}

/* The folder may be made anew, or a mount may come over it or go: the watch is of another one then.
 */
static bool watches(struct slot *s)
{
    struct stat st;

    if (s->inotify < 0)
        return false;
    if (stat(s->dir, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        return true;
    end_watch(s);
    return false;
}

/* Takes what the stream has; false when nothing was there. */
static bool drain(struct slot *s)
{
    json_t *line = NULL;
    bool any = false;
    char events[4096];
    int r = 0;

    if (s->inotify >= 0)
        while (read(s->inotify, events, sizeof(events)) > 0)
            any = true;
    while (s->watch && (r = ctl_recv(s->watch, 0, &line, NULL)) == 0) {
        json_decref(line);
        any = true;
    }
    if (s->watch && r != -ETIMEDOUT) /* the mount is gone: look again next time */
        end_watch(s);
    return any;
}

void slot_wait(struct slot *s, int64_t timeout_ms, int wake_fd)
{
    struct pollfd p[3] = {
        {.fd = wake_fd, .events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};

    if (!watches(s)) {
        begin_watch(s);
        /* What came before the watch stood is seen by this look. */
        timeout_ms = s->inotify >= 0 ? 0 : timeout_ms;
    }
    if (drain(s))
        return;
    p[1].fd = s->inotify; /* poll() passes over -1 */
    p[2].fd = s->watch ? ctl_fd(s->watch) : -1;
    (void)poll(p, 3, (int)timeout_ms);
    (void)drain(s);
}
