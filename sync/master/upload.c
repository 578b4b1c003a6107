/* SPDX-License-Identifier: MIT */
#include "sync/master/upload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/common/crash.h"
#include "sync/common/clock.h"
#include "sync/common/file.h"
#include "sync/common/thread.h"
#include "sync/master/space.h"

#define OLD_NS     (2LL * 86400 * 1000000000) /* an upload that nobody resumed */
#define FLUSH_STEP (8 << 20)

struct uploads {
    struct master *m;
    pthread_mutex_t lock; /* guards the list and `cancelled` */
    struct upload *first;
};

struct upload {
    struct upload *next;
    struct uploads *all;
    char name[128]; /* without ".part" */
    struct hash hash;
    int fd;
    int64_t at, total, flushed;
    bool cancelled;
    struct hash_stream *stream; /* NULL when resumed: hashed at the end */
};

struct uploads *uploads_new(struct master *m)
{
    struct uploads *u = xcalloc(1, sizeof(*u));

    u->m = m;
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

void uploads_clean(struct uploads *u, bool at_start)
{
    int fd = openat(root_staging_fd(u->m->root), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;
    struct stat st;

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
    char whole[128], part[128];
    struct stat st;
    int dir = root_staging_fd(u->m->root);

    names(mirror, h, whole, part, sizeof(whole));
    *have = 0;
    *complete = fstatat(dir, whole, &st, 0) == 0;
    if (*complete || fstatat(dir, part, &st, 0) == 0)
        *have = st.st_size;
    else if (errno != ENOENT)
        return -errno;
    return 0;
}

static int open_part(struct uploads *u, struct upload *up, const char *part)
{
    struct stat st;

    up->fd =
        openat(root_staging_fd(u->m->root), part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
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
    char part[128];
    int r;

    names(mirror, h, up->name, part, sizeof(part));
    up->all = u;
    up->hash = *h;
    up->at = up->flushed = at;
    up->total = total;
    up->fd = -1;
    if (space_short(u->m, total > at ? total - at : 0, NULL, 0)) {
        free(up);
        return -ENOSPC;
    }
    mutex_lock(&u->lock);
    for (struct upload *p = u->first; p; p = p->next)
        if (strcmp(p->name, up->name) == 0)
            p->cancelled = true;
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

int upload_write(struct upload *up, const void *data, size_t len)
{
    int r;

    if (up->total >= 0 && up->at + (int64_t)len > up->total)
        return -EMSGSIZE;
    /* Under the lock: once cancelled no byte of the old request may reach the file. */
    mutex_lock(&up->all->lock);
    r = up->cancelled ? -ECANCELED : file_pwrite(up->fd, data, len, up->at);
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
    int dir = root_staging_fd(u->m->root), r = 0;
    char part[160];
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

int upload_take(struct uploads *u, const char *mirror, const struct hash *h, const char *name)
{
    char whole[128], part[128];
    int dir = root_staging_fd(u->m->root);

    names(mirror, h, whole, part, sizeof(whole));
    return renameat(dir, whole, dir, name) < 0 ? -errno : 0;
}
