/* SPDX-License-Identifier: MIT */
#include "sync/master/folder/upload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/crash.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/hash.h"
#include "sync/common/thread.h"
#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"
#include "sync/master/folder/space.h"
#include "sync/master/folder/volume.h"

#define OLD_NS     (50LL * 60 * 1000000000) /* since somebody wrote to it; looked at each minute */
#define FLUSH_STEP (8 << 20)
#define CHECK_STEP (1 << 20)
#define FILES_MAX  1000                /* of one mirror */
#define IDLE_NS    (60LL * 1000000000) /* until then its operation may be on its way */

struct uploads {
    struct folder *folder;
    pthread_mutex_t lock; /* guards the list and `cancelled` */
    struct upload *first;
};

struct upload {
    struct upload *next;
    struct uploads *all;
    char name[UPLOAD_NAME_CAP]; /* without ".part" */
    struct hash hash;
    int fd;
    int64_t at, total, flushed, checked;
    bool cancelled;
    struct hash_stream *stream; /* NULL when resumed: hashed at the end */
};

struct uploads *uploads_new(struct folder *f)
{
    struct uploads *u = xcalloc(1, sizeof(*u));

    u->folder = f;
    mutex_init(&u->lock);
    return u;
}

void uploads_free(struct uploads *u)
{
    if (!u)
        return;
    mutex_destroy(&u->lock);
    free(u);
}

static int clean_here(struct folder *f, const char *top, void *arg)
{
    bool at_start = *(bool *)arg;
    int fd = openat(root_staging_fd(f->root), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;
    struct stat st;

    (void)top;
    while (d && (de = readdir(d))) {
        bool tmp = at_start && strncmp(de->d_name, "tmp-", 4) == 0,
             up = strncmp(de->d_name, "up-", 3) == 0;
        if ((tmp || up) && fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            (tmp || clock_wall_ns() - file_mtime_ns(&st) > OLD_NS))
            unlinkat(fd, de->d_name, 0);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return 0;
}

void uploads_clean(struct uploads *u, bool at_start)
{
    volumes_each(u->folder, clean_here, &at_start);
}

static void names(const char *mirror, const struct hash *h, char *whole, char *part, size_t cap)
{
    char text[HASH_TEXT_CAP];

    snprintf(whole, cap, "up-%s-%s", mirror, hash_text(h, text));
    snprintf(part, cap, "up-%s-%s.part", mirror, text);
}

int upload_have(struct uploads *u, const char *mirror, const struct hash *h, int64_t *have,
                bool *complete)
{
    char whole[UPLOAD_NAME_CAP], part[UPLOAD_NAME_CAP];
    struct stat st;
    int dir = root_staging_fd(u->folder->root);

    names(mirror, h, whole, part, sizeof(whole));
    *have = 0;
    *complete = fstatat(dir, whole, &st, 0) == 0;
    if (*complete || fstatat(dir, part, &st, 0) == 0)
        *have = st.st_size;
    else if (errno != ENOENT)
        return -errno;
    return 0;
}

/* What one mirror has staged besides one upload. */
struct staged {
    int64_t bytes; /* those that are coming count as a whole */
    int n;
    char idle[UPLOAD_NAME_CAP]; /* the file that nobody has written to for longest; "": none */
    int64_t idle_since;         /* ns */
};

static struct upload *active_locked(struct uploads *u, const char *file)
{
    size_t n = strlen(file);

    if (n > 5 && strcmp(file + n - 5, ".part") == 0)
        n -= 5;
    for (struct upload *up = u->first; up; up = up->next)
        if (strlen(up->name) == n && memcmp(up->name, file, n) == 0)
            return up;
    return NULL;
}

static void count_file_locked(struct uploads *u, int dir, const char *file, struct staged *ret)
{
    const struct upload *up = active_locked(u, file);
    struct stat st;

    if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    ret->n++;
    ret->bytes += up && up->total > st.st_size ? up->total : st.st_size;
    if (!up && (!*ret->idle || file_mtime_ns(&st) < ret->idle_since)) {
        snprintf(ret->idle, sizeof(ret->idle), "%.*s", UPLOAD_NAME_CAP - 1, file);
        ret->idle_since = file_mtime_ns(&st);
    }
}

/* False: the folder cannot be read. */
static bool count_locked(struct uploads *u, const char *mirror, const char *but, struct staged *ret)
{
    char *mine = xasprintf("up-%s-s2-", mirror);
    int fd = openat(root_staging_fd(u->folder->root), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;

    memset(ret, 0, sizeof(*ret));
    while (d && (de = readdir(d)))
        if (strncmp(de->d_name, mine, strlen(mine)) == 0 &&
            strncmp(de->d_name, but, strlen(but)) != 0)
            count_file_locked(u, fd, de->d_name, ret);
    free(mine);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return d != NULL;
}

/* Makes space for `bytes` of one more upload within the mirror's limit: uploads that no request is
 * sending go first (their operations ask for them again). One upload alone may have any size. */
static int make_room_locked(struct uploads *u, const char *mirror, const char *name, int64_t bytes)
{
    int dir = root_staging_fd(u->folder->root);
    struct staged have;

    for (;;) {
        if (!count_locked(u, mirror, name, &have))
            return -EIO;
        if (have.n == 0 || (have.n < FILES_MAX && have.bytes + bytes <= u->folder->upload_space))
            return 0;
        if (!*have.idle || clock_wall_ns() - have.idle_since < IDLE_NS)
            return -EDQUOT;
        if (unlinkat(dir, have.idle, 0) < 0 && errno != ENOENT)
            return -errno;
    }
}

/* Bytes that the uploads under way still bring. */
static int64_t announced_locked(const struct uploads *u)
{
    int64_t sum = 0;

    for (const struct upload *up = u->first; up; up = up->next)
        if (up->total > up->at && !up->cancelled)
            sum += up->total - up->at;
    return sum;
}

static int open_part(struct uploads *u, struct upload *up, const char *part)
{
    struct stat st;

    up->fd = openat(root_staging_fd(u->folder->root), part,
                    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (up->fd < 0 || fstat(up->fd, &st) < 0)
        return -errno;
    if (up->at > st.st_size || (up->at > 0 && up->at != st.st_size))
        return -ESPIPE;
    if (up->at == 0 && ftruncate(up->fd, 0) < 0)
        return -errno;
    return 0;
}

int upload_begin(struct uploads *u, const char *mirror, const struct hash *h, int64_t at,
                 int64_t total, struct upload **ret)
{
    struct upload *up = xcalloc(1, sizeof(*up));
    char part[UPLOAD_NAME_CAP];
    int r;

    names(mirror, h, up->name, part, sizeof(part));
    up->all = u;
    up->hash = *h;
    up->at = up->flushed = up->checked = at;
    up->total = total;
    up->fd = -1;
    mutex_lock(&u->lock);
    for (struct upload *p = u->first; p; p = p->next)
        if (strcmp(p->name, up->name) == 0)
            p->cancelled = true;
    r = make_room_locked(u, mirror, up->name, total > at ? total : at);
    if (r == 0 &&
        space_short(u->folder, announced_locked(u) + (total > at ? total - at : 0), NULL, 0))
        r = -ENOSPC;
    if (r == 0)
        r = open_part(u, up, part);
    if (r == 0) {
        up->next = u->first;
        u->first = up;
    }
    mutex_unlock(&u->lock);
    if (r < 0) {
        if (up->fd >= 0)
            close(up->fd);
        free(up);
        return r;
    }
    if (at == 0)
        up->stream = hash_stream_new();
    *ret = up;
    return 0;
}

/* While bytes arrive: others fill the disk too, and not all announce their size. */
static int check_space(struct upload *up, int64_t len)
{
    const struct folder *f = up->all->folder;

    if (up->at + len - up->checked < CHECK_STEP)
        return 0;
    up->checked = up->at + len;
    if (space_short(f, len, NULL, 0))
        return -ENOSPC;
    return up->total < 0 && up->at + len > f->upload_space ? -EDQUOT : 0;
}

int upload_write(struct upload *up, const void *data, size_t len)
{
    int r = check_space(up, (int64_t)len);

    if (r < 0)
        return r;
    if (up->total >= 0 && up->at + (int64_t)len > up->total)
        return -EMSGSIZE;
    /* Under the lock: once cancelled no byte of the old request may reach the file. */
    mutex_lock(&up->all->lock);
    r = up->cancelled ? -ECANCELED : file_pwrite_sparse(up->fd, data, len, up->at);
    mutex_unlock(&up->all->lock);
    if (r < 0)
        return r;
    up->at += (int64_t)len;
    if (up->stream)
        hash_stream_add(up->stream, data, len);
    if (up->at - up->flushed >= FLUSH_STEP) { /* so that the fsync before the rename is short */
        sync_file_range(up->fd, up->flushed, up->at - up->flushed, SYNC_FILE_RANGE_WRITE);
        up->flushed = up->at;
    }
    return 0;
}

int upload_end(struct upload *up, bool complete, int64_t *have)
{
    struct uploads *u = up->all;
    int dir = root_staging_fd(u->folder->root), r = 0;
    char part[UPLOAD_NAME_CAP + 8];
    struct hash got;

    snprintf(part, sizeof(part), "%s.part", up->name);
    *have = up->at;
    if (complete) {
        if (up->stream)
            hash_stream_end(up->stream, &got);
        else
            r = hash_fd(up->fd, &got, NULL);
        if (r == 0 && !hash_eq(&got, &up->hash))
            r = -EBADMSG;
    }
    crash_point("master.upload.verified");
    mutex_lock(&u->lock);
    for (struct upload **p = &u->first; *p; p = &(*p)->next) {
        if (*p == up) {
            *p = up->next;
            break;
        }
    }
    if (up->cancelled)
        r = -ECANCELED;
    else if (r == -EBADMSG)
        unlinkat(dir, part, 0);
    else if (complete && r == 0)
        r = renameat(dir, part, dir, up->name) < 0 ? -errno : 1;
    mutex_unlock(&u->lock);
    hash_stream_free(up->stream);
    close(up->fd);
    free(up);
    return r;
}

void upload_name(const char *mirror, const struct hash *h, char *out)
{
    char part[UPLOAD_NAME_CAP];

    names(mirror, h, out, part, UPLOAD_NAME_CAP);
}

int upload_take(struct uploads *u, const char *mirror, const struct hash *h, const char *name)
{
    char whole[UPLOAD_NAME_CAP];
    int from = root_own_staging_fd(u->folder->root), to = root_staging_fd(u->folder->root);

    upload_name(mirror, h, whole);
    if (faccessat(from, whole, F_OK, AT_SYMLINK_NOFOLLOW) < 0) /* -EXDEV does not say so */
        return -errno;
    return renameat(from, whole, to, name) < 0 ? -errno : 0;
}

void upload_forget(struct uploads *u, const char *mirror, const struct hash *h)
{
    char whole[UPLOAD_NAME_CAP];

    upload_name(mirror, h, whole);
    unlinkat(root_own_staging_fd(u->folder->root), whole, 0);
}
