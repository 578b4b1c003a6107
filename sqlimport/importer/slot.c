/* SPDX-License-Identifier: MIT */
/*
 * Two ways for each thing that a slot does:
 *
 *               on an eefs mount (instance.h)          in a plain folder
 *     watch     inotify for this machine's writes,     inotify
 *               and the mount's stream of changes
 *     remove    the command `remove PATH HASH`: the    rename aside, compare, unlink; or back under
 *               mount removes only these bytes         its name, unless a newer dump has it
 *
 * A folder that is not watched, or whose watch ends, is looked at again after the poll time. A run
 * that was killed leaves the dump aside; slot_find() puts it back first.
 */
#include "sqlimport/importer/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "sqlimport/importer/choice.h"
#include "sqlimport/importer/instance.h"
#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/ctl.h"
#include "sync/common/file.h"
#include "sync/common/path.h"

#define CTL_TIMEOUT_MS    3000
#define REMOVE_TIMEOUT_MS 30000

struct slot {
    char *dir, *rundir, *name, *database, *last;
    char *file_option; /* --file, or NULL */
    char *file;        /* the dump that was found last, or would be */
    struct choice choice;
    struct ctl *watch; /* change stream of the mount, or NULL */
    int inotify;       /* reports this machine's changes in the folder; -1: nothing is watched */
    dev_t dev;         /* the folder that is watched */
    ino_t ino;
};

struct slot *slot_new(const struct slot_args *a)
{
    struct slot *s = xcalloc(1, sizeof(*s));

    s->dir = xstrdup(a->dir);
    s->rundir = xstrdup(a->rundir);
    s->name = xstrdup(a->name);
    s->database = xstrdup(a->database);
    s->last = xstrdup(a->last);
    s->file_option = a->file ? xstrdup(a->file) : NULL;
    s->file = a->file ? xstrdup(a->file) : xasprintf("%s%s", a->database, choice_endings[0]);
    s->choice = (struct choice){.dir = s->dir,
                                .rundir = s->rundir,
                                .name = s->name,
                                .database = s->database,
                                .once = a->once};
    s->inotify = -1;
    return s;
}

const char *slot_file(const struct slot *s)
{
    return s->file;
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
    free(s->rundir);
    free(s->name);
    free(s->database);
    free(s->last);
    free(s->file_option);
    free(s->file);
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

/* The name under which a dump in a plain folder is compared before it is removed. */
static char *aside_of(const char *file)
{
    return xasprintf(".eefs-sqlimport.%s.removing", file);
}

/* Puts back the dump that a killed run left aside. */
static void restore(int dir, const char *file)
{
    char *aside = aside_of(file);

    if (faccessat(dir, aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        (void)put_back(dir, aside, file);
    free(aside);
}

/* The dump to take: 1, and s->file is its name; 0; -errno. */
static int find_name(struct slot *s, int dir, struct err *e)
{
    char *name = NULL;
    int r;

    if (s->file_option)
        return 1;
    for (size_t i = 0; choice_endings[i]; i++) {
        char *own = xasprintf("%s%s", s->database, choice_endings[i]);
        restore(dir, own);
        free(own);
    }
    if (*s->last)
        restore(dir, s->last);
    s->choice.last = s->last;
    r = choice_find(&s->choice, dir, &name, e);
    if (r == 1) {
        free(s->file);
        s->file = name;
    }
    return r;
}

int slot_find(struct slot *s, int *ret_fd, struct stat *st, struct err *e)
{
    int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, code, r;

    if (dir < 0)
        return err_sys(e, errno, "cannot open the slot '%s'", s->dir);
    r = find_name(s, dir, e);
    if (r <= 0) {
        close(dir);
        return r;
    }
    restore(dir, s->file);
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
                                    code == EINVAL ? "it is not a regular file" : strerror(code));
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

/* The file that was caught is the one that was imported, with the same bytes still. `held`: the
 * witness held before it was caught. */
static bool is_imported(int dir, const char *caught, const struct slot_taken *t, bool held)
{
    struct stat mine, there;
    struct hash now;

    if (fstat(t->fd, &mine) < 0 || fstatat(dir, caught, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
        there.st_ino != mine.st_ino || there.st_dev != mine.st_dev)
        return false;
    if (held && witness_holds_renamed(t->witness, &there))
        return true;
    return hash_fd(t->fd, &now, NULL) == 0 && hash_eq(&now, t->hash);
}

/* Rename aside, look at what was caught, unlink or put it back without replacing a newer one. */
static int remove_plain(const struct slot *s, const struct slot_taken *t, struct err *e)
{
    int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    bool held = t->witness && witness_holds(t->witness, t->fd); /* renaming gives another time */
    char *aside = aside_of(s->file);

    if (dir < 0 || renameat(dir, s->file, dir, aside) < 0)
        r = -errno;
    crash_point("slot.aside");
    if (r == 0 && is_imported(dir, aside, t, held))
        r = unlinkat(dir, aside, 0) < 0 ? -errno : 0;
    else if (r == 0)
        r = put_back(dir, aside, s->file) < 0 ? -errno : -ESTALE;
    free(aside);
    if (dir >= 0)
        close(dir);
    if (r == -ENOENT)
        r = -ESTALE;
    return r == 0 || r == -ESTALE
               ? r
               : err_sys(e, -r, "cannot remove the dump '%s/%s'", s->dir, s->file);
}

void slot_took(struct slot *s)
{
    free(s->last);
    s->last = xstrdup(s->file);
}

int slot_remove(struct slot *s, const struct slot_taken *t, struct err *e)
{
    char *sock = NULL, *dir = NULL;
    int r = instance_locate(s->dir, s->rundir, &sock, &dir, e);

    if (r == 1)
        r = remove_on_mount(s, sock, dir, t->hash, e);
    else if (r == 0)
        r = remove_plain(s, t, e);
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
    int r = instance_locate(s->dir, s->rundir, &sock, &dir, NULL);

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

/* The folder may be replaced, or a mount may come or go: then the watch is on another folder. */
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

/* Reads all events and changes that are there; false: there were none. */
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
        /* The next look sees what came before the watch began. */
        timeout_ms = s->inotify >= 0 ? 0 : timeout_ms;
    }
    if (drain(s))
        return;
    p[1].fd = s->inotify; /* poll() passes over -1 */
    p[2].fd = s->watch ? ctl_fd(s->watch) : -1;
    (void)poll(p, 3, (int)timeout_ms);
    (void)drain(s);
}
