/* SPDX-License-Identifier: MIT */
#include "sqlimport/slot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/ctl.h"
#include "sync/common/path.h"

#define CTL_TIMEOUT_MS    3000
#define REMOVE_TIMEOUT_MS 30000

struct slot {
    char *dir, *rundir, *database;
    struct ctl *watch; /* change stream of the mount, or NULL */
    int inotify;       /* of a plain folder, or -1 */
};

struct slot *slot_new(const char *dir, const char *rundir, const char *database)
{
    struct slot *s = xcalloc(1, sizeof(*s));

    s->dir = xstrdup(dir);
    s->rundir = xstrdup(rundir);
    s->database = xstrdup(database);
    s->inotify = -1;
    return s;
}

void slot_free(struct slot *s)
{
    if (!s)
        return;
    ctl_close(s->watch);
    if (s->inotify >= 0)
        close(s->inotify);
    free(s->dir);
    free(s->rundir);
    free(s->database);
    free(s);
}

static bool is_dump_name(const char *name)
{
    size_t n = strlen(name);

    return name[0] != '.' && n > 4 && strcmp(name + n - 4, ".sql") == 0;
}

/* The name of the dump, malloc'd, or NULL. Its own name comes first, else the first by name. */
static char *choose(DIR *d, const char *own)
{
    char *best = NULL;
    struct dirent *de;

    while ((de = readdir(d))) {
        if (!is_dump_name(de->d_name))
            continue;
        if (strcmp(de->d_name, own) == 0 || !best ||
            (strcmp(best, own) != 0 && strcmp(de->d_name, best) < 0)) {
            free(best);
            best = xstrdup(de->d_name);
        }
    }
    return best;
}

int slot_find(struct slot *s, int *ret_fd, char **ret_name, struct stat *st, struct err *e)
{
    DIR *d = opendir(s->dir);
    char *own, *name;
    int fd;

    if (!d)
        return err_sys(e, errno, "cannot open the slot '%s'", s->dir);
    own = xasprintf("%s.sql", s->database);
    name = choose(d, own);
    free(own);
    if (!name) {
        closedir(d);
        return 0;
    }
    fd = openat(dirfd(d), name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    closedir(d);
    if (fd < 0 || fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
        int code = fd < 0 ? errno : EINVAL;
        if (fd >= 0)
            close(fd);
        if (code == ENOENT) {
            free(name);
            return 0;
        }
        err_set(e, code, "cannot open the dump '%s/%s': %s", s->dir, name,
                code == EINVAL ? "it is no regular file" : strerror(code));
        free(name);
        return -code;
    }
    *ret_fd = fd;
    *ret_name = name;
    return 1;
}

/* Undoes mountinfo's \ooo escapes in place. */
static void unescape(char *p)
{
    char *out = p;

    for (; *p; p++) {
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] && p[3]) {
            *out++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 3;
        } else {
            *out++ = *p;
        }
    }
    *out = '\0';
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

/* Mountpoint (malloc'd) of the innermost mount that holds `real`, if that is an eefs one. */
static char *eefs_mountpoint(const char *real)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, *best = NULL;
    size_t cap = 0;
    bool ours = false;

    while (f && getline(&line, &cap, f) > 0) {
        char *point = NULL, *sep = strstr(line, " - ");
        if (!sep || sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1)
            continue;
        unescape(point);
        if (below(real, point) && (!best || strlen(point) >= strlen(best))) {
            free(best);
            best = point;
            point = NULL;
            ours = strncmp(sep + 3, "fuse.eefs ", 10) == 0;
        }
        free(point);
    }
    free(line);
    if (f)
        fclose(f);
    if (!ours) {
        free(best);
        best = NULL;
    }
    return best;
}

/* Socket (malloc'd) of the instance at `mountpoint`. */
static char *instance_socket(const struct slot *s, const char *mountpoint)
{
    char *pattern = xasprintf("%s/mount-*.sock", s->rundir), *found = NULL;
    json_t *request = json_pack("{s:s}", "cmd", "status");
    glob_t g = {0};

    if (request && glob(pattern, 0, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc && !found; i++) {
            json_t *answer = NULL;
            const char *point;
            if (ctl_call(g.gl_pathv[i], request, CTL_TIMEOUT_MS, &answer, NULL) == 0) {
                point = json_string_value(json_object_get(answer, "mountpoint"));
                if (point && strcmp(point, mountpoint) == 0)
                    found = xstrdup(g.gl_pathv[i]);
            }
            json_decref(answer);
        }
        globfree(&g);
    }
    json_decref(request);
    free(pattern);
    return found;
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

static int remove_on_mount(const char *sock, const char *dir, const char *name,
                           const struct hash *hash, struct err *e)
{
    char *path = path_join(dir, name), *encoded = path_encoded(path);
    char text[HASH_TEXT_CAP];
    json_t *request = json_pack("{s:s, s:s, s:s}", "cmd", "remove", "path", encoded, "hash",
                                hash_text(hash, text));
    json_t *answer = NULL;
    int r = request ? ctl_call(sock, request, REMOVE_TIMEOUT_MS, &answer, e)
                    : err_set(e, EINVAL, "cannot name the dump");
    const char *code = json_string_value(json_object_get(answer, "code"));

    /* gone, or other content under that name: another dump came meanwhile */
    if (r == -EREMOTEIO && code && (strcmp(code, "changed") == 0 || strcmp(code, "not_found") == 0))
        r = -ESTALE;
    json_decref(answer);
    json_decref(request);
    free(encoded);
    free(path);
    return r;
}

/* Rename aside, look at what was caught, unlink or put it back without replacing a newer one. */
static int remove_plain(const char *dir, const char *name, int fd, const struct hash *hash,
                        struct err *e)
{
    char *aside = xasprintf(".%s.%ld.tmp", name, (long)getpid());
    int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    struct stat mine, caught;
    struct hash now;

    if (d < 0 || fstat(fd, &mine) < 0 || renameat(d, name, d, aside) < 0) {
        r = errno == ENOENT ? -ESTALE
                            : err_sys(e, errno, "cannot remove the dump '%s/%s'", dir, name);
    } else if (fstatat(d, aside, &caught, AT_SYMLINK_NOFOLLOW) == 0 &&
               caught.st_ino == mine.st_ino && caught.st_dev == mine.st_dev &&
               hash_fd(fd, &now, NULL) == 0 && hash_eq(&now, hash)) {
        if (unlinkat(d, aside, 0) < 0)
            r = err_sys(e, errno, "cannot remove the dump '%s/%s'", dir, name);
    } else {
        r = -ESTALE;
        if (renameat2(d, aside, d, name, RENAME_NOREPLACE) < 0)
            (void)unlinkat(d, aside, 0); /* a newer one came meanwhile */
    }
    if (d >= 0)
        close(d);
    free(aside);
    return r;
}

int slot_remove(struct slot *s, const char *name, int fd, const struct hash *hash, struct err *e)
{
    char *sock = NULL, *dir = NULL;
    int r = locate(s, &sock, &dir, e);

    if (r == 1)
        r = remove_on_mount(sock, dir, name, hash, e);
    else if (r == 0)
        r = remove_plain(s->dir, name, fd, hash, e);
    free(sock);
    free(dir);
    return r;
}

static void begin_watch(struct slot *s)
{
    char *sock = NULL, *dir = NULL, *encoded;
    int r = locate(s, &sock, &dir, NULL);
    json_t *request, *answer = NULL;

    if (r == 0) {
        s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (s->inotify >= 0)
            (void)inotify_add_watch(s->inotify, s->dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
    } else if (r == 1) {
        encoded = path_encoded(dir);
        request = json_pack("{s:s, s:s}", "cmd", "watch", "path", encoded);
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
    free(sock);
    free(dir);
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
    if (s->watch && r != -ETIMEDOUT) { /* the mount is gone: look again next time */
        ctl_close(s->watch);
        s->watch = NULL;
    }
    return any;
}

void slot_wait(struct slot *s, int64_t timeout_ms)
{
    struct pollfd p = {.events = POLLIN};

    if (!s->watch && s->inotify < 0) {
        begin_watch(s);
        /* What came before the watch stood is seen by this look. */
        timeout_ms = s->watch || s->inotify >= 0 ? 0 : timeout_ms;
    }
    if (drain(s))
        return;
    p.fd = s->watch ? ctl_fd(s->watch) : s->inotify;
    (void)poll(&p, p.fd >= 0 ? 1 : 0, (int)timeout_ms);
    (void)drain(s);
}
