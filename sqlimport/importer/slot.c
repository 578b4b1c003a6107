/* SPDX-License-Identifier: MIT */
#include "sqlimport/importer/slot.h"

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
#include "sync/common/opt.h"
#include "sync/common/path.h"
#include "sync/common/rundir.h"

#define CTL_TIMEOUT_MS    3000
#define REMOVE_TIMEOUT_MS 30000
#define SETTLE_MS         2000 /* a dump of an unknown name may still be somebody else's */
#define NAMED_MAX         5    /* dumps that a sentence names */

static const char *const endings[] = {".sql", ".sql.gz", ".sql.zst"};

struct slot {
    char *dir, *rundir, *name, *database, *last;
    char *wanted; /* --file, or NULL */
    char *file;   /* the dump that was found last, or would be */
    bool once;
    struct stat young; /* a dump of an unknown name, and since when it is there so */
    int64_t since_ms;
    struct ctl *watch; /* change stream of the mount, or NULL */
    int inotify;       /* tells what this machine does in the folder; -1: nothing is watched */
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
    s->wanted = a->file ? xstrdup(a->file) : NULL;
    s->file = a->file ? xstrdup(a->file) : xasprintf("%s%s", a->database, endings[0]);
    s->once = a->once;
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
    free(s->wanted);
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

/* Name under which a plain folder's dump is looked at before it goes. */
static char *aside_of(const char *file)
{
    return xasprintf(".eefs-sqlimport.%s.removing", file);
}

/* What a run that was killed left aside. */
static void restore(int dir, const char *file)
{
    char *aside = aside_of(file);

    if (faccessat(dir, aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        (void)put_back(dir, aside, file);
    free(aside);
}

static const char *ending_of(const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        size_t n = strlen(endings[i]);
        if (len > n && strcmp(name + len - n, endings[i]) == 0)
            return name + len - n;
    }
    return NULL;
}

/* DATABASE.sql, .sql.gz or .sql.zst */
static bool is_named(const char *file, const char *database)
{
    const char *ending = ending_of(file);

    return ending && strlen(database) == (size_t)(ending - file) &&
           strncmp(file, database, (size_t)(ending - file)) == 0;
}

/* --- which one --- */

struct claims {
    const struct slot *s;
    const char *real; /* path of the slot */
    const char *file;
    bool taken;
};

/* Another importer's state file: does it wait for this dump? */
static void look_claim(void *arg, const char *path)
{
    struct claims *c = arg;
    json_t *j = json_load_file(path, 0, NULL);
    const char *name = json_string_value(json_object_get(j, "name"));
    const char *slot = json_string_value(json_object_get(j, "slot"));
    const char *file = json_string_value(json_object_get(j, "file"));
    const char *database = json_string_value(json_object_get(j, "database"));
    char *real = slot ? realpath(slot, NULL) : NULL;

    if (real && strcmp(real, c->real) == 0 && name && strcmp(name, c->s->name) != 0 &&
        (file ? strcmp(file, c->file) == 0 : database && is_named(c->file, database)))
        c->taken = true;
    free(real);
    json_decref(j);
}

static bool is_claimed(const struct slot *s, const char *file)
{
    char *real = realpath(s->dir, NULL);
    struct claims c = {s, real, file, false};

    if (real)
        rundir_each(s->rundir, "import", "json", look_claim, &c);
    free(real);
    return c.taken;
}

struct choice {
    struct strlist own, others; /* names of dumps: with the database's name, and without */
};

static int list(const struct slot *s, int dir, struct choice *c)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;
    struct stat st;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return -EIO;
    }
    while ((de = readdir(d))) {
        if (*de->d_name == '.' || !ending_of(de->d_name) ||
            fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (is_named(de->d_name, s->database))
            strlist_add(&c->own, de->d_name);
        else if (!is_claimed(s, de->d_name))
            strlist_add(&c->others, de->d_name);
    }
    closedir(d);
    return 0;
}

static bool holds(const struct strlist *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], name) == 0)
            return true;
    return false;
}

static int refuse(const struct slot *s, const struct strlist *l, struct err *e)
{
    struct buf names = BUF_INIT;
    int r;

    for (size_t i = 0; i < l->n && i < NAMED_MAX; i++)
        buf_printf(&names, "%s'%.60s'", i ? ", " : "", l->v[i]);
    if (l->n > NAMED_MAX)
        buf_printf(&names, " and %zu more", l->n - NAMED_MAX);
    if (l->n > 1)
        r = err_set(e, EEXIST,
                    "the slot '%.200s' holds %zu dumps (%s), and none of them is '%.60s.sql': "
                    "name the one that is meant with --file",
                    s->dir, l->n, names.data, s->database);
    else
        r = err_set(e, EEXIST,
                    "the slot '%.200s' holds %s, which is not imported: the last dump was "
                    "'%.60s'; name it with --file if it is meant",
                    s->dir, names.data, *s->last ? s->last : s->file);
    buf_release(&names);
    return r;
}

/* A dump with an unknown name: 1 when it has lain there unchanged for a moment. */
static int settled(struct slot *s, int dir, const char *name)
{
    struct stat st;

    if (s->once)
        return 1;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    if (st.st_ino != s->young.st_ino || st.st_dev != s->young.st_dev ||
        st.st_size != s->young.st_size || file_mtime_ns(&st) != file_mtime_ns(&s->young)) {
        s->young = st;
        s->since_ms = clock_mono_ms();
    }
    return clock_mono_ms() - s->since_ms >= SETTLE_MS;
}

static int choose(struct slot *s, int dir, const struct choice *c, const char **ret, struct err *e)
{
    *ret = c->own.n == 1 ? c->own.v[0] : NULL;
    for (size_t i = 0; i < c->own.n; i++)
        if (strcmp(ending_of(c->own.v[i]), endings[0]) == 0)
            *ret = c->own.v[i];
    if (*ret)
        return 1;
    if (c->own.n > 0)
        return refuse(s, &c->own, e);
    if (*s->last && holds(&c->others, s->last)) {
        *ret = s->last;
        return 1;
    }
    if (c->others.n == 0)
        return 0;
    if (c->others.n > 1 || (*s->last && !s->once))
        return refuse(s, &c->others, e);
    *ret = c->others.v[0];
    return settled(s, dir, *ret);
}

/* The dump to take: 1, and s->file is its name; 0; -errno. */
static int find_name(struct slot *s, int dir, struct err *e)
{
    struct choice c = {{NULL, 0}, {NULL, 0}};
    const char *name = NULL;
    int r;

    if (s->wanted)
        return 1;
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        char *own = xasprintf("%s%s", s->database, endings[i]);
        restore(dir, own);
        free(own);
    }
    if (*s->last)
        restore(dir, s->last);
    r = list(s, dir, &c);
    r = r < 0 ? err_sys(e, -r, "cannot read the slot '%s'", s->dir) : choose(s, dir, &c, &name, e);
    if (r == 1) {
        char *copy = xstrdup(name);
        free(s->file);
        s->file = copy;
    }
    strlist_release(&c.own);
    strlist_release(&c.others);
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
                                    code == EINVAL ? "it is no regular file" : strerror(code));
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
    int r = locate(s, &sock, &dir, e);

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
