/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"
#include "sync/master/folder/private_dir.h"

#define MARKER     ".eefs/marker"
#define LOCK       ".eefs/lock"
#define OTHER_CASE ".eefs/MARKER"
#define COMPARE_MS 1000 /* between two comparisons of the clocks */

struct found {
    int error; /* -errno; 0: it is ours, or the next two, or it belongs to another master */
    bool unmarked, put_back;
};

struct root {
    char *path, *store; /* store: or NULL */
    char id[33];
    int fd, private, staging;
    pthread_key_t other; /* a thread's staging on another filesystem: its descriptor and one */
    atomic_int generation;
    _Atomic int64_t looking;  /* clock_mono_ms() when the look began that has not ended; 0 */
    _Atomic int64_t compared; /* clock_mono_ms() when the clocks were compared; 0: never */
    _Atomic int64_t behind;   /* ns that the filesystem's clock is behind ours */
    pthread_mutex_t lock;     /* held while the filesystem is asked; guards the next two */
    int lock_fd;              /* -1: not held */
    bool busy;                /* another master serves it */
    pthread_mutex_t said;     /* guards the rest; never waits for the filesystem */
    bool ok;
    struct found found; /* by the last look */
    char why[384];
    _Atomic int64_t epoch; /* the lowest one that the marker may have */
};

/* The first line is the id, the second one "epoch N"; a marker without that has epoch 0. */
static int read_marker(int fd, char *id, size_t cap, int64_t *epoch)
{
    struct buf b = BUF_INIT;
    int r = file_slurp(fd, MARKER, 4096, &b);
    const char *text = b.data ? b.data : "";
    long long n = 0;

    if (r == 0) {
        size_t len = strcspn(text, "\n");
        snprintf(id, cap, "%.*s", (int)len, text);
        *epoch = sscanf(text + len, "\nepoch %lld", &n) == 1 && n > 0 ? n : 0;
    }
    buf_release(&b);
    return r;
}

void root_owner(const char *path, char *id)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t epoch;

    id[0] = '\0';
    if (fd < 0)
        return;
    if (read_marker(fd, id, 33, &epoch) < 0 || strlen(id) != 32 ||
        strspn(id, "0123456789abcdef") != 32)
        id[0] = '\0';
    close(fd);
}

static int make_marker(struct root *r, int fd, int64_t epoch, struct err *e)
{
    char *line;
    int res;

    if (mkdirat(fd, ROOT_HIDDEN, 0700) < 0 && errno != EEXIST)
        return err_sys(e, errno, "cannot create '%s/%s'", r->path, ROOT_HIDDEN);
    line = xasprintf("%s\nepoch %lld\n", r->id, (long long)epoch);
    res = file_replace(fd, MARKER, line, strlen(line), 0600, true);
    free(line);
    if (res < 0)
        return err_sys(e, -res, "cannot write '%s/%s'", r->path, MARKER);
    return 0;
}

/* Puts the folder behind the descriptors that everybody holds. */
static int adopt_locked(struct root *r, int fd)
{
    int private = -1, staging = -1, res = 0;
    int lock = openat(fd, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (lock < 0)
        return -errno;
    if (flock(lock, LOCK_EX | LOCK_NB) < 0)
        res = errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (res == 0)
        res = private = private_dir_open(fd, r->store);
    if (res >= 0 && mkdirat(private, "staging", 0700) < 0 && errno != EEXIST)
        res = -errno;
    if (res >= 0)
        staging = openat(private, "staging", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (res >= 0 && staging < 0)
        res = -errno;
    if (res < 0) {
        close(lock);
        if (private >= 0)
            close(private);
        return res;
    }
    dup3(fd, r->fd, O_CLOEXEC);
    dup3(private, r->private, O_CLOEXEC);
    dup3(staging, r->staging, O_CLOEXEC);
    close(private);
    close(staging);
    if (r->lock_fd >= 0)
        close(r->lock_fd);
    r->lock_fd = lock;
    r->generation++;
    return 0;
}

/* Lets go of the folder: its filesystem can be unmounted. */
static void release_locked(struct root *r)
{
    int none = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (none < 0)
        return;
    dup3(none, r->fd, O_CLOEXEC);
    dup3(none, r->private, O_CLOEXEC);
    dup3(none, r->staging, O_CLOEXEC);
    close(none);
    if (r->lock_fd >= 0)
        close(r->lock_fd);
    r->lock_fd = -1;
}

int root_open(const char *path, const char *store, const char *id, bool known, int64_t epoch,
              struct root **ret, struct err *e)
{
    struct root *r = xcalloc(1, sizeof(*r));
    char there[64] = "";
    int64_t epoch_there;
    int fd = -1, res = 0;

    r->path = xstrdup(path);
    r->store = store ? xstrdup(store) : NULL;
    snprintf(r->id, sizeof(r->id), "%s", id);
    r->epoch = epoch;
    mutex_init(&r->lock);
    mutex_init(&r->said);
    if (pthread_key_create(&r->other, NULL) != 0)
        abort();
    r->lock_fd = -1;
    r->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    r->private = open("/dev/null", O_RDONLY | O_CLOEXEC);
    r->staging = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || r->private < 0 || r->staging < 0) {
        res = err_sys(e, errno, "cannot open '/dev/null'");
        goto out;
    }
    if (!known) {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            res = err_sys(e, errno, "cannot open the folder '%s' to serve", path);
            goto out;
        }
        if (read_marker(fd, there, sizeof(there), &epoch_there) == -ENOENT ||
            strcmp(there, id) != 0)
            res = make_marker(r, fd, epoch, e);
        if (res < 0)
            goto out;
    }
    if (!root_check(r) && r->busy)
        res = err_set(e, EBUSY, "%s", r->why);
out:
    if (fd >= 0)
        close(fd);
    if (res < 0)
        root_close(r);
    else
        *ret = r;
    return res;
}

void root_close(struct root *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    if (r->private >= 0)
        close(r->private);
    if (r->staging >= 0)
        close(r->staging);
    if (r->lock_fd >= 0)
        close(r->lock_fd);
    mutex_destroy(&r->lock);
    mutex_destroy(&r->said);
    pthread_key_delete(r->other);
    free(r->path);
    free(r->store);
    free(r);
}

int root_fd(const struct root *r)
{
    return r->fd;
}

int root_staging_fd(const struct root *r)
{
    intptr_t other = (intptr_t)pthread_getspecific(r->other);

    return other ? (int)other - 1 : r->staging;
}

int root_own_staging_fd(const struct root *r)
{
    return r->staging;
}

int root_use_staging(struct root *r, int fd)
{
    intptr_t was = (intptr_t)pthread_getspecific(r->other);

    pthread_setspecific(r->other, (void *)(intptr_t)(fd + 1)); // NOLINT(performance-no-int-to-ptr)
    return (int)was - 1;
}

int root_private_fd(const struct root *r)
{
    return r->private;
}

const char *root_path(const struct root *r)
{
    return r->path;
}

int64_t root_age_ns(struct root *r, const struct stat *st)
{
    int64_t now = clock_mono_ms();
    struct stat touched;

    if (!r->compared || now - r->compared >= COMPARE_MS) {
        if (utimensat(r->fd, LOCK, NULL, AT_SYMLINK_NOFOLLOW) == 0 &&
            fstatat(r->fd, LOCK, &touched, AT_SYMLINK_NOFOLLOW) == 0)
            r->behind = clock_wall_ns() - file_ctime_ns(&touched);
        r->compared = now;
    }
    return clock_wall_ns() - r->behind - file_ctime_ns(st);
}

static bool look_locked(struct root *r, char *why, size_t cap, struct found *ret)
{
    struct stat now, held;
    char there[64] = "";
    int64_t epoch = 0;
    int fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int res;

    if (fd < 0) {
        ret->error = -errno;
        snprintf(why, cap, "the folder '%.200s' cannot be opened: %s", r->path,
                 strerror(-ret->error));
        return false;
    }
    res = read_marker(fd, there, sizeof(there), &epoch);
    if (res < 0 && res != -ENOENT && res != -ENOTDIR) { /* unknown, and not absent */
        snprintf(why, cap, "the marker '%s' of the folder '%.200s' cannot be read: %s", MARKER,
                 r->path, strerror(-res));
        ret->error = res;
        close(fd);
        return false;
    }
    if (res < 0) {
        snprintf(why, cap,
                 "the folder '%.200s' has lost its marker '%s' (emptied, replaced or not mounted?)",
                 r->path, MARKER);
        ret->unmarked = true;
        close(fd);
        return false;
    }
    if (strcmp(there, r->id) != 0) {
        snprintf(why, cap, "the folder '%.200s' belongs to another master (%.33s)", r->path, there);
        close(fd);
        return false;
    }
    if (epoch < r->epoch) {
        snprintf(why, cap, "the folder '%.200s' was put back to an earlier state", r->path);
        ret->put_back = true;
        close(fd);
        return false;
    }
    if (fstat(fd, &now) == 0 && fstat(r->fd, &held) == 0 &&
        (now.st_dev != held.st_dev || now.st_ino != held.st_ino)) {
        res = adopt_locked(r, fd);
        r->busy = res == -EBUSY;
        if (r->busy)
            snprintf(why, cap,
                     "another 'eefs-master serve' serves the folder '%.200s'; one folder has one "
                     "master",
                     r->path);
        else if (res < 0)
            snprintf(why, cap, "cannot use '%.200s%s': %s", r->store ? r->store : r->path,
                     r->store ? "" : "/" ROOT_HIDDEN, strerror(-res));
        if (res < 0) {
            ret->error = res;
            close(fd);
            return false;
        }
    }
    close(fd);
    return true;
}

bool root_check(struct root *r)
{
    char why[sizeof(r->why)] = "";
    struct found found = {0};
    bool ok, was;

    mutex_lock(&r->lock);
    r->looking = clock_mono_ms();
    ok = look_locked(r, why, sizeof(why), &found);
    mutex_lock(&r->said);
    was = r->ok;
    r->ok = ok;
    r->found = found;
    memcpy(r->why, why, sizeof(why));
    mutex_unlock(&r->said);
    if (!ok && was)
        release_locked(r);
    r->looking = 0;
    mutex_unlock(&r->lock);
    return ok;
}

bool root_was_put_back(struct root *r)
{
    bool yes;

    mutex_lock(&r->said);
    yes = r->found.put_back;
    mutex_unlock(&r->said);
    return yes;
}

bool root_lacks_marker(struct root *r)
{
    bool yes;

    mutex_lock(&r->said);
    yes = r->found.unmarked;
    mutex_unlock(&r->said);
    return yes;
}

/* Opens the folder and reads its marker: 0, or -errno with e; -ENOENT when it has none. */
static int open_marked(struct root *r, int *fd, char *id, size_t cap, int64_t *epoch, struct err *e)
{
    int res;

    *fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return err_sys(e, errno, "cannot open the folder '%s'", r->path);
    res = read_marker(*fd, id, cap, epoch);
    return res < 0 ? err_sys(e, -res, "cannot read '%s/%s'", r->path, MARKER) : 0;
}

int root_adopt(struct root *r, struct err *e)
{
    char there[64] = "";
    int64_t epoch = 0;
    int fd = -1, res;

    mutex_lock(&r->lock);
    res = open_marked(r, &fd, there, sizeof(there), &epoch, e);
    if (res == -ENOENT && fd >= 0)
        res = make_marker(r, fd, 0, e);
    else if (res == 0 && strcmp(there, r->id) != 0)
        res = err_set(e, EBUSY,
                      "the folder '%s' belongs to another master (%.33s); if that one is gone, "
                      "remove '%s/%s' first",
                      r->path, there, r->path, MARKER);
    if (fd >= 0)
        close(fd);
    mutex_unlock(&r->lock);
    return res;
}

int root_advance(struct root *r, int64_t *ret, struct err *e)
{
    char there[64] = "";
    int64_t epoch = 0, next = 0;
    int fd = -1, res;

    mutex_lock(&r->lock);
    res = open_marked(r, &fd, there, sizeof(there), &epoch, e);
    if (res == 0 && strcmp(there, r->id) != 0)
        res = err_set(e, EBUSY, "the folder '%s' belongs to another master", r->path);
    if (res == 0) {
        next = (epoch > r->epoch ? epoch : r->epoch) + 1;
        res = make_marker(r, fd, next, e);
    }
    if (res == 0) {
        r->epoch = next;
        *ret = next;
    }
    if (fd >= 0)
        close(fd);
    mutex_unlock(&r->lock);
    return res;
}

int64_t root_epoch(const struct root *r)
{
    return r->epoch;
}

int64_t root_silent_ms(const struct root *r)
{
    int64_t since = r->looking;

    return since ? clock_mono_ms() - since : 0;
}

int root_generation(const struct root *r)
{
    return r->generation;
}

bool root_folds_case(const struct root *r)
{
    return faccessat(r->fd, OTHER_CASE, F_OK, 0) == 0;
}

bool root_is_there(const struct root *r)
{
    struct stat st;

    return fstat(r->fd, &st) == 0 && S_ISDIR(st.st_mode);
}

bool root_ok(struct root *r, char *out, size_t cap)
{
    int64_t silent = root_silent_ms(r);
    bool ok;

    if (silent >= ROOT_SILENT_MS) {
        snprintf(out, cap,
                 "the folder '%.200s' has not answered for %lld s (its filesystem or disk hangs)",
                 r->path, (long long)silent / 1000);
        return false;
    }
    mutex_lock(&r->said);
    ok = r->ok;
    snprintf(out, cap, "%s", r->why);
    mutex_unlock(&r->said);
    return ok;
}

bool root_disk_fails(struct root *r)
{
    bool fails;

    mutex_lock(&r->said);
    fails = r->found.error == -EIO;
    mutex_unlock(&r->said);
    return fails;
}
